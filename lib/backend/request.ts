import type { Duplex, Readable } from 'node:stream'

/** One request to a backend. Header fields are flat: name, value, name, value. */
export interface BackendRequest {
  readonly method: string
  /** Origin form: starts with a slash. */
  readonly path: string
  readonly fields: readonly string[]
  readonly body: Readable | undefined
  /** The protocol to switch to, for an upgrade. */
  readonly upgrade: string | undefined
  /** Whose request it is. */
  readonly client?: ClientConnection | undefined
  /** On a new connection: none that is kept alive can be trusted to be so. */
  readonly fresh?: boolean | undefined
}

/** A client's connection, as far as a backend's may be bound to it. */
export interface ClientConnection {
  readonly destroyed: boolean
  once(event: 'close', listener: () => void): unknown
}

/** What becomes of a request. `onSend` may be missing before `onError`: nothing was sent then. */
export interface BackendHandler {
  /** A connection stands and the request is about to be written to it. */
  onSend(call: BackendCall): void
  /** An interim response: 100, 103 and so on, or what is none: a status below 100, or 101. */
  onInform(status: number, fields: string[]): void
  onResponse(status: number, text: string, fields: string[]): void
  onData(chunk: Buffer): void
  onEnd(trailers: string[]): void
  /** The backend switched protocols; the socket belongs to the handler now. */
  onUpgrade(fields: string[], socket: Duplex): void
  onError(error: Error): void
}

export interface BackendCall {
  /** The connection has served other requests before. */
  readonly reused: boolean
  /** Gives up: closes the connection the request is on. */
  abort(reason: Error): void
  /** No more `onData` until `resume`. */
  pause(): void
  resume(): void
}
