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
  readonly client?: BoundClient | undefined
  /** Set where both sides speak at the same time, and may be silent for long, as in gRPC. */
  readonly duplex?: Duplexity | undefined
}

/**
 * RFC 9110 9.2.2: a request may be sent again on its own when doing it twice does no more than
 * doing it once. POST and PATCH are none of these, whatever becomes of them.
 */
const idempotent: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PUT',
  'DELETE',
])

/** Whether a request can be sent again after it was sent and lost, as far as its body is kept. */
export function isIdempotent({
  method,
  upgrade,
  duplex,
}: Pick<BackendRequest, 'method' | 'upgrade' | 'duplex'>): boolean {
  return idempotent.has(method) && upgrade === undefined && duplex === undefined
}

export interface Duplexity {
  /** How long the backend may say nothing, in milliseconds. */
  readonly silence: number
}

/** A client's connection, as far as a backend's may be bound to it. */
export interface BoundClient {
  readonly destroyed: boolean
  once(event: 'close', listener: () => void): unknown
  /** Its ends, as a backend is told of them; undefined once it is closed. */
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
}

/**
 * What becomes of a request, in this order: `onSend`, any number of `onInform`, `onResponse`, any
 * number of `onData`, `onEnd`. `onUpgrade` may stand in place of `onResponse`, and is the last
 * then; `onError` may come at any time, and is the last. Of these `onSend` alone may come before
 * the call has been handed out.
 */
export interface BackendHandler {
  /** A connection stands and the request is about to be written to it. */
  onSend(): void
  /** An interim response: 100, 103 and so on, or what is none: a status below 100, or 101. */
  onInform(status: number, fields: string[]): void
  /** `last`: there is no body, not even an empty one, and there are no trailers (HTTP/2). */
  onResponse(status: number, text: string, fields: string[], last?: boolean): void
  onData(chunk: Buffer): void
  onEnd(trailers: string[]): void
  /** The backend switched protocols; the socket belongs to the handler now. */
  onUpgrade(fields: string[], socket: Duplex): void
  /** Without `onSend` before it nothing was sent. */
  onError(error: Error): void
}

/** A request under way, from when it is handed over. Each method does nothing once it is over. */
export interface BackendCall {
  /** Gives up: closes the connection the request is on, as soon as there is one. */
  abort(reason: Error): void
  /** No more `onData` until `resume`. */
  pause(): void
  resume(): void
}
