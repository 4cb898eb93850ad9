import { executionAsyncResource } from 'node:async_hooks'

/** What a TLSSocket keeps behind it. Any of it may be missing in a future Node. */
export interface NativeHandle {
  /** The handshake was a resumption. */
  readonly isSessionReused?: () => boolean
  /** The server name as TLS has read it. */
  readonly getServername?: () => string | false
  /** The session that TLS gets when it next asks for one. */
  readonly loadSession?: (session: Buffer) => void
  /** What TLS writes to. */
  readonly _parent?: { readonly bytesWritten?: number }
  /** Told of an error, after which there is nothing more to read. */
  onerror?: (...error: unknown[]) => void
  close?: (...given: unknown[]) => unknown
  shutdown?: (...given: unknown[]) => unknown
  /** TLS may send what it held back for `newSession`. */
  readonly newSessionDone?: () => void
}

/**
 * Inside `newSession`: the resource that raised it is the socket's native handle. Without
 * async hooks this costs next to nothing.
 */
export function handleNow(): NativeHandle {
  return executionAsyncResource() ?? {}
}
