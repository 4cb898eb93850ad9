import { formatAddress, type ListenAddress } from './address.ts'

/** `error`, or where it is that of a port one of the same code that says what to do about it. */
export function explainListening(at: ListenAddress, error: NodeJS.ErrnoException): Error {
  // In a worker the primary binds for it, and Node names that instead.
  if (!['listen', 'bind', 'getaddrinfo'].includes(error.syscall ?? '')) return error
  const explained = new Error(`can't listen on ${whyNotAt(at, error)}`, { cause: error })
  return Object.assign(explained, { code: error.code })
}

/** Where, why, and what to do about it, for the end of a sentence. */
export function whyNotAt(
  { host = '*', port }: ListenAddress,
  { code, message }: NodeJS.ErrnoException,
  takes: 'connections' | 'datagrams' = 'connections',
): string {
  const where = formatAddress({ host, port })
  if (code === undefined) return `${where}: ${message}`
  const advice = adviceOn(code, port, takes === 'connections' ? '-ltnp' : '-lunp')
  return `${where}: ${code}${advice === undefined ? '' : `; ${advice}`}`
}

function adviceOn(code: string, port: number, lookWith: string): string | undefined {
  switch (code) {
    case 'EACCES':
      return (
        'this user may not have a port below 1024. Choose another one, or allow it: ' +
        'AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit of systemd; or ' +
        `sysctl -w net.ipv4.ip_unprivileged_port_start=${port}; or ` +
        `setcap cap_net_bind_service=+ep ${process.execPath}`
      )
    case 'EADDRINUSE':
      return `another program has it, as ss ${lookWith} 'sport = :${port}' tells`
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the name does not resolve'
    default:
      return undefined
  }
}
