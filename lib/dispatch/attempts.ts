import type { Duplex } from 'node:stream'
import { type Backend, isBadAnswer } from '../backend/backend.ts'
import {
  backendError,
  brokeOff,
  closed,
  isInvalidRequest,
  lostConnection,
  wasRefused,
} from '../backend/failure.ts'
import type { PoolCall } from '../backend/pool.ts'
import type { BackendHandler } from '../backend/request.ts'
import type { Slot } from '../backend/slots.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Candidates } from './candidates.ts'
import type { DispatchCall, DispatchHandler, DispatchRequest } from './dispatch.ts'
import { NoBackend } from './no-backend.ts'
import type { ReplayedBody } from './retry/replayed-body.ts'
import { isRepeatable, isWorthRetrying, type Retrying } from './retry/retrying.ts'

export interface AttemptsOptions {
  readonly retrying: Retrying
  /** Milliseconds until a backend must have begun to answer; 0: as long as it takes. */
  readonly timeout: number
  readonly clock: Clock
}

/**
 * A request at one backend after the other, until one takes it and says something. It takes the
 * slot of each, gives it back, and tells each what it thinks of it.
 */
export class Attempts implements DispatchCall {
  readonly #candidates: Candidates<Backend>
  readonly #request: DispatchRequest
  readonly #handler: DispatchHandler
  readonly #options: AttemptsOptions
  readonly #retrying: Retrying
  readonly #began: number
  /** Undefined where there is no body, or it can't be sent twice. */
  readonly #body: ReplayedBody | undefined
  #use: DispatchRequest['use']
  /** The one that is under way. */
  #try: Try | undefined
  #backend: string | undefined
  #aborted: Error | undefined
  #lastError: Error | undefined

  constructor(
    candidates: Candidates<Backend>,
    request: DispatchRequest,
    handler: DispatchHandler,
    options: AttemptsOptions,
  ) {
    const { retrying } = options
    this.#candidates = candidates
    this.#request = request
    this.#handler = handler
    this.#options = options
    this.#retrying = retrying
    this.#began = retrying.begin()
    this.#body = retrying.keep(request)
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
    this.#try?.call?.abort(reason)
  }

  pause(): void {
    this.#try?.call?.pause()
  }

  resume(): void {
    this.#try?.call?.resume()
  }

  bodyArrived(): void {
    this.#use = 'request'
    if (this.#try === undefined) return
    const { slot, backend } = this.#try
    const limit = slot.become('request')
    if (limit === undefined) return
    this.#handler.onLimit(limit, backend)
    this.abort(new NoBackend('busy'))
  }

  /**
   * Whether an answer is to be asked for elsewhere: then that has been done, and nothing it still
   * says counts.
   */
  refuses(tried: Try, status: number): boolean {
    const { options } = this.#retrying
    if (!options.badAnswers || !isBadAnswer(status)) return false
    if (this.#aborted !== undefined || !this.#mayRepeat()) return false
    // The one that said so is not asked again: it knows best.
    if (!this.#candidates.retry(options.most)) return false
    if (!this.#retrying.allows(this.#began, false)) return false
    const next = this.#take()
    if (next === undefined) return false
    tried.drop(new Error('another backend is asked'))
    this.#send(next)
    return true
  }

  failed(tried: Try, error: Error): void {
    const { backend, sent } = tried
    const stale = tried.call?.reused === true && lostConnection(error)
    this.#try = undefined
    // An answer that broke off can't be begun anew, nor is what we ended ourselves.
    if (this.#aborted !== undefined || (!sent && isInvalidRequest(error))) {
      this.#handler.onError(this.#aborted ?? error)
      return
    }
    if (tried.answered) {
      if (brokeOff(error)) backend.failed(error, tried.epoch, true)
      this.#handler.onError(error)
      return
    }
    // A kept-alive connection that was found dead says nothing of the backend, nor does a body
    // that its client is long in sending.
    const patient = tried.late && !this.#isAsked
    if (stale) backend.foundDead()
    else if (!closed(error) && !wasRefused(error) && !patient) {
      backend.failed(error, tried.epoch, sent)
    }
    this.#lastError = error
    if (!this.#mayGoOn(tried, error, stale) || !this.#next()) this.#giveUp()
  }

  get handler(): DispatchHandler {
    return this.#handler
  }

  /**
   * Where not a byte has left, any request may try its luck elsewhere; what was refused unseen is
   * as good as that, but its body may be gone.
   */
  #mayGoOn({ sent, backend }: Try, error: Error, stale: boolean): boolean {
    if (!sent) return this.#retrying.allows(this.#began, true)
    const bodiless = this.#request.body === undefined || this.#body?.isWhole === true
    if (wasRefused(error) && bodiless) return this.#retrying.allows(this.#began, true)
    if (!isWorthRetrying(error) || !this.#mayRepeat()) return false
    const { most } = this.#retrying.options
    return (
      this.#candidates.retry(most, backend) && this.#retrying.allows(this.#began, stale)
    )
  }

  /** The whole request has come. */
  get #isAsked(): boolean {
    return this.#request.body?.readableEnded !== false
  }

  #mayRepeat(): boolean {
    return isRepeatable(this.#request, this.#body)
  }

  /** Gives the request to the next backend that has room; false when there is none. */
  #next(): boolean {
    const next = this.#take()
    if (next !== undefined) this.#send(next)
    return next !== undefined
  }

  #take(): Try | undefined {
    for (;;) {
      const backend = this.#candidates.next()
      if (backend === undefined) return undefined
      const slot = backend.slots.take(this.#use, this.#request.network)
      if (typeof slot !== 'string') return new Try(this, backend, slot)
      this.#lastError ??= new NoBackend('busy')
      this.#handler.onLimit(slot, backend)
    }
  }

  #send(next: Try): void {
    const { backend } = next
    this.#try = next
    this.#backend = backend.origin
    const call = backend.send(this.#requestTo(backend), next, this.#candidates.retrying)
    next.call = call
    const { timeout, clock } = this.#options
    if (timeout > 0) next.limit(timeout, clock)
    // By a handler that heard `onSend` meanwhile.
    if (this.#aborted !== undefined) call.abort(this.#aborted)
  }

  #requestTo({ origin }: Backend): DispatchRequest {
    const { fields, fieldsAt } = this.#request
    if (this.#body === undefined && fieldsAt === undefined) return this.#request
    return {
      ...this.#request,
      fields: fieldsAt?.(fields, origin) ?? fields,
      body: this.#body?.next() ?? this.#request.body,
    }
  }

  #giveUp(): void {
    this.#handler.onError(this.#lastError ?? new NoBackend('no-backend'))
  }
}

/** A request at one backend. */
class Try implements BackendHandler {
  readonly backend: Backend
  readonly slot: Slot
  readonly epoch: number
  readonly #of: Attempts
  call: PoolCall | undefined
  /** It is being written to a connection, or has been. */
  sent = false
  answered = false
  #status = 0
  /** It had its time. */
  late = false
  #timer: Timer | undefined
  /** Nothing it says counts any more. */
  #over = false

  constructor(of: Attempts, backend: Backend, slot: Slot) {
    this.#of = of
    this.backend = backend
    this.slot = slot
    this.epoch = backend.epoch
  }

  /** From now on the backend has `timeout` ms to begin its answer. */
  limit(timeout: number, clock: Clock): void {
    if (this.#over || this.answered) return
    this.#timer = clock.after(timeout, () => {
      const error = backendError('try-timeout')
      this.late = true
      this.drop(error)
      this.#of.failed(this, error)
    })
  }

  drop(reason: Error): void {
    this.#timer?.cancel()
    this.#over = true
    this.slot.release()
    this.call?.abort(reason)
  }

  onSend(): void {
    if (this.#over) return
    this.sent = true
    this.#of.handler.onSend()
  }

  onInform(status: number, fields: string[]): void {
    if (!this.#over) this.#of.handler.onInform(status, fields)
  }

  onResponse(status: number, text: string, fields: string[], last?: boolean): void {
    if (this.#over) return
    this.#timer?.cancel()
    this.slot.answered()
    this.#status = status
    this.backend.answered(status, this.epoch)
    if (this.#of.refuses(this, status)) return
    this.answered = true
    this.#of.handler.onResponse(status, text, fields, last)
  }

  onData(chunk: Buffer): void {
    if (!this.#over) this.#of.handler.onData(chunk)
  }

  onEnd(trailers: string[]): void {
    if (this.#over) return
    this.slot.release()
    this.backend.ended(this.#status, this.epoch)
    this.#of.handler.onEnd(trailers)
  }

  onUpgrade(fields: string[], socket: Duplex): void {
    if (this.#over) {
      socket.destroy()
      return
    }
    this.#timer?.cancel()
    this.answered = true
    this.slot.answered()
    this.backend.answered(101, this.epoch)
    this.backend.ended(101, this.epoch)
    this.slot.become('tunnel')
    socket.once('close', () => this.slot.release())
    this.#of.handler.onUpgrade(fields, socket)
  }

  onError(error: Error): void {
    if (this.#over) return
    this.#timer?.cancel()
    this.#over = true
    this.slot.release()
    this.#of.failed(this, error)
  }
}
