import { type Server, Socket } from 'node:net'

/**
 * What Node has of a socket of the system: `_handle` of a net.Socket, which is not documented,
 * but as old as Node, and what `process.send` takes beside a message. Sent as such it stays open
 * in both processes, and neither begins to read from it.
 */
export interface SystemHandle {
  readonly fd: number
  close(): void
  reset?(): void
  readStop?(): unknown
}

/** Undefined for a socket that is closed, or has none. */
export function handleOf(socket: Socket | Server): SystemHandle | undefined {
  const handle = (socket as unknown as { _handle?: SystemHandle | null })._handle
  return handle && typeof handle.fd === 'number' && handle.fd >= 0 ? handle : undefined
}

/** Whether this is a Node that has them. */
export function hasHandle(socket: object): boolean {
  const { _handle: handle } = socket as { _handle?: Partial<SystemHandle> | null }
  return typeof handle?.fd === 'number' && typeof handle.close === 'function'
}

/** Nothing is read before somebody wants to. */
export function socketOf(handle: SystemHandle): Socket {
  const options = { handle, readable: true, writable: true, manualStart: true }
  return new Socket(options as ConstructorParameters<typeof Socket>[0])
}
