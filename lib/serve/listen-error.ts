import { formatAddress, type ListenAddress } from '../address.ts'

/** `error`, or where it is that of a port one that says what to do about it. */
export function explainListening(
  { host = '*', port }: ListenAddress,
  error: NodeJS.ErrnoException,
): Error {
  // In a worker the primary binds for it, and Node names that instead.
  if (!['listen', 'bind', 'getaddrinfo'].includes(error.syscall ?? '')) return error
  const { code = '' } = error
  const where = formatAddress({ host, port })
  const advice = adviceOn(code, port)
  const text = `can't listen on ${where}: ${code}${advice === undefined ? '' : `; ${advice}`}`
  return new Error(text, { cause: error })
}

function adviceOn(code: string, port: number): string | undefined {
  switch (code) {
    case 'EACCES':
      return (
        'this user may not have a port below 1024. Choose another one, or allow it: ' +
        'AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit of systemd; or ' +
        `sysctl -w net.ipv4.ip_unprivileged_port_start=${port}; or ` +
        `setcap cap_net_bind_service=+ep ${process.execPath}`
      )
    case 'EADDRINUSE':
      return `another program has it, as ss -ltnp 'sport = :${port}' tells`
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the name does not resolve'
    default:
      return undefined
  }
}
