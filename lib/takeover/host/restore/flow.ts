import type { Endpoint } from '../../native/native-socket.ts'

/** Whose segments are of one connection, at an address that is known. */
export type Flow = string

export function flowOf(remote: Endpoint, local: Endpoint): Flow {
  return `${remote.address}:${remote.port} ${local.port}`
}
