import type { Socket } from 'node:net'
import { isIPv6 } from 'node:net'
import type { Endpoint, Endpoints } from './endpoints.ts'

/**
 * From now on `remoteAddress`, `localPort` and their kin tell these ends, on the socket and on
 * whatever Node builds on top of it: a TLSSocket, a session of HTTP/2. All of them ask the handle
 * of the connection, which is not documented, but as old as they are.
 */
export function showEndpoints(socket: Socket, { source, destination }: Endpoints): void {
  const inside = socket as unknown as Inside
  const { _handle: handle } = inside
  if (!handle) return
  handle.getpeername = out => tell(out, source)
  handle.getsockname = out => tell(out, destination)
  // What it has been asked before is kept.
  inside._peername = undefined
  inside._sockname = undefined
}

interface Inside {
  readonly _handle?: Handle | null
  _peername?: unknown
  _sockname?: unknown
}

interface Handle {
  getpeername(out: object): number
  getsockname(out: object): number
}

function tell(out: object, { address, port }: Endpoint): number {
  Object.assign(out, { address, port, family: isIPv6(address) ? 'IPv6' : 'IPv4' })
  return 0
}
