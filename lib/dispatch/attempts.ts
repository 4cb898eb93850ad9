import type { Duplex } from 'node:stream'
import type { Backend } from '../backend/backend.ts'
import {
  closed,
  isInvalidRequest,
  lostConnection,
  wasRefused,
} from '../backend/failure.ts'
import type { PoolCall } from '../backend/pool.ts'
import type { BackendHandler } from '../backend/request.ts'
import type { Slot } from '../backend/slots.ts'
import type { Candidates } from './candidates.ts'
import type { DispatchCall, DispatchHandler, DispatchRequest } from './dispatch.ts'
import { NoBackend } from './no-backend.ts'

/**
 * A request at one backend after the other, until one takes it and says something. It takes the
 * slot of each, gives it back, and tells each what it thinks of it.
 */
export class Attempts implements BackendHandler, DispatchCall {
  readonly #candidates: Candidates<Backend>
  readonly #request: DispatchRequest
  readonly #handler: DispatchHandler
  #use: DispatchRequest['use']
  /** The one that has the request now. */
  #at: Backend | undefined
  #slot: Slot | undefined
  #call: PoolCall | undefined
  #backend: string | undefined
  /** It is being written to a connection, or has been. */
  #sent = false
  #answered = false
  #aborted: Error | undefined
  #lastError: Error | undefined

  constructor(
    candidates: Candidates<Backend>,
    request: DispatchRequest,
    handler: DispatchHandler,
  ) {
    this.#candidates = candidates
    this.#request = request
    this.#handler = handler
    this.#use = request.use
  }

  get backend(): string | undefined {
    return this.#backend
  }

  /** That takes a handler around this one. */
  get resumptions(): number {
    return 0
  }

  /** To be called once. When nobody takes it, says so later: the caller has no call yet. */
  start(): void {
    if (!this.#next()) process.nextTick(() => this.#giveUp())
  }

  abort(reason: Error): void {
    this.#aborted ??= reason
    this.#call?.abort(reason)
  }

  pause(): void {
    this.#call?.pause()
  }

  resume(): void {
    this.#call?.resume()
  }

  bodyArrived(): void {
    this.#use = 'request'
    const limit = this.#slot?.become('request')
    if (limit === undefined) return
    this.#handler.onLimit(limit, this.#at as Backend)
    this.abort(new NoBackend('busy'))
  }

  onSend(): void {
    this.#sent = true
    this.#handler.onSend()
  }

  onInform(status: number, fields: string[]): void {
    this.#handler.onInform(status, fields)
  }

  onResponse(status: number, text: string, fields: string[], last?: boolean): void {
    this.#hasAnswered()
    this.#handler.onResponse(status, text, fields, last)
  }

  onData(chunk: Buffer): void {
    this.#handler.onData(chunk)
  }

  onEnd(trailers: string[]): void {
    this.#release()
    this.#handler.onEnd(trailers)
  }

  onUpgrade(fields: string[], socket: Duplex): void {
    this.#hasAnswered()
    this.#slot?.become('tunnel')
    socket.once('close', () => this.#release())
    this.#handler.onUpgrade(fields, socket)
  }

  onError(error: Error): void {
    const backend = this.#at as Backend
    const stale = this.#call?.reused === true && lostConnection(error)
    this.#release()
    // An answer that broke off can't be begun anew, nor is what we ended ourselves.
    const final = this.#answered || this.#aborted !== undefined
    if (final || (!this.#sent && isInvalidRequest(error))) {
      this.#handler.onError(this.#aborted ?? error)
      return
    }
    // A kept-alive connection that was found dead says nothing of the backend.
    if (!stale && !closed(error) && !wasRefused(error)) backend.failed(error)
    this.#lastError = error
    // Where not a byte has left, any request may try its luck elsewhere. What was refused unseen
    // is as good as that, but its body may be gone.
    const unseen = !this.#sent || (wasRefused(error) && this.#request.body === undefined)
    const again = unseen || (this.#mayRetry(error) && this.#candidates.retry(backend))
    if (!again || !this.#next()) this.#giveUp()
  }

  /** Gives the request to the next backend that has room; false when there is none. */
  #next(): boolean {
    this.#sent = false
    for (;;) {
      const backend = this.#candidates.next()
      if (backend === undefined) return false
      const slot = backend.slots.take(this.#use, this.#request.network)
      if (typeof slot === 'string') {
        this.#lastError ??= new NoBackend('busy')
        this.#handler.onLimit(slot, backend)
        continue
      }
      this.#at = backend
      this.#backend = backend.origin
      this.#slot = slot
      this.#call = backend.send(this.#request, this, this.#candidates.retrying)
      // By a handler that heard `onSend` meanwhile.
      if (this.#aborted !== undefined) this.#call.abort(this.#aborted)
      return true
    }
  }

  #giveUp(): void {
    this.#handler.onError(this.#lastError ?? new NoBackend('no-backend'))
  }

  #hasAnswered(): void {
    this.#answered = true
    this.#slot?.answered()
    this.#at?.answered()
  }

  /**
   * RFC 9110 9.2.2: a request may be sent again on its own when doing it twice does no harm. A
   * kept-alive connection that the backend closes just then is the usual case.
   */
  #mayRetry(error: Error): boolean {
    const { method, body, upgrade } = this.#request
    const harmless = method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
    return (
      harmless && body === undefined && upgrade === undefined && lostConnection(error)
    )
  }

  #release(): void {
    this.#slot?.release()
    this.#slot = undefined
    this.#call = undefined
  }
}
