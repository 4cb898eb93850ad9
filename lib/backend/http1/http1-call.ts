import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import { backendError } from '../failure.ts'
import type { PoolCall } from '../pool.ts'
import type { BackendHandler, BoundClient } from '../request.ts'
import { fieldsOf } from '../response-fields.ts'
import { offersConnectionLogin } from './connection-login.ts'
import { ConnectionLost, LastBytes } from './last-bytes.ts'
import { plainStatus } from './response-parser.ts'

/** The connection that a call is on, as far as it is the call's business. */
export interface CallConnection {
  /** Requests on the connection that stands now. */
  served: number
  /** There is a log-in on it, or the offer of one: from now on it is this client's own. */
  bind(owner: BoundClient): void
}

/**
 * One request on its way: undici's words into ours. In the form of handler that undici has
 * inside: what translates the newer one reads all fields of a response into an object first.
 */
export class Http1Call implements PoolCall, Dispatcher.DispatchHandler {
  reused = false
  readonly #handler: BackendHandler
  readonly #connection: CallConnection
  readonly #client: BoundClient | undefined
  #abort: ((reason: Error) => void) | undefined
  /** Given up before there was a connection. */
  #givenUp: Error | undefined
  #paused = false
  #resume: (() => void) | undefined
  #handedOut = false
  #refusal: Error | undefined

  constructor(
    handler: BackendHandler,
    connection: CallConnection,
    client: BoundClient | undefined,
  ) {
    this.#handler = handler
    this.#connection = connection
    this.#client = client
  }

  /** The caller is about to have it; answers whether the request was refused already. */
  handOut(): boolean {
    this.#handedOut = true
    const refusal = this.#refusal
    if (refusal !== undefined) process.nextTick(() => this.#handler.onError(refusal))
    return refusal !== undefined && this.#abort === undefined
  }

  abort(reason: Error): void {
    if (this.#abort === undefined) this.#givenUp ??= reason
    else this.#abort(reason)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#resume?.()
  }

  onConnect(abort: (reason?: Error) => void): void {
    this.#abort = abort
    this.reused = this.#connection.served++ > 0
    if (this.#givenUp === undefined) this.#handler.onSend()
    else abort(this.#givenUp)
  }

  onUpgrade(_status: number, fields: Buffer[] | string[] | null, socket: Duplex): void {
    LastBytes.of(socket)?.release()
    this.#handler.onUpgrade(fieldsOf(fields), socket)
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void, text: string): boolean {
    this.#resume = resume
    const fields = fieldsOf(raw)
    if (this.#client !== undefined && offersConnectionLogin(status, fields)) {
      this.#connection.bind(this.#client)
    }
    if (status < 200) this.#handler.onInform(plainStatus(status), fields)
    else this.#handler.onResponse(status, text ?? '', fields)
    return !this.#paused
  }

  onData(chunk: Buffer): boolean {
    // After a pause the parser tells what it has in hand, which may be nothing.
    if (chunk.length > 0) this.#handler.onData(chunk)
    return !this.#paused
  }

  onComplete(trailers: string[] | null): void {
    this.#handler.onEnd(fieldsOf(trailers))
  }

  onError(error: Error): void {
    if (!this.#handedOut) this.#refusal = error
    else this.#handler.onError(reasonOf(error))
  }
}

/** What lies behind an error of undici, which leaves that of its parser without a code. */
function reasonOf(error: Error): Error {
  if (error instanceof ConnectionLost) return error.reason
  if (error.name !== 'HTTPParserError') return error
  const code = /EOF/.test(error.message) ? 'HPE_INVALID_EOF_STATE' : 'HPE_INVALID'
  return backendError(code, error.message)
}
