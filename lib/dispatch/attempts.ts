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
import type { DispatchHandler, DispatchRequest } from './dispatch.ts'
import type { HedgedCall } from './hedge/hedged.ts'
import { NoBackend } from './no-backend.ts'
import {
  isRepeatable,
  isWorthRetrying,
  type Retrying,
  type RetryState,
} from './retry/retrying.ts'

export interface AttemptsOptions {
  readonly retrying: Retrying
  /** Milliseconds until a backend must have begun to answer; 0: as long as it takes. */
  readonly timeout: number
  /** Whoever hears that none has room waits for one. */
  readonly waits: boolean
  readonly clock: Clock
}

/**
 * A request at one backend after the other, until one takes it and says something. It takes the
 * slot of each, gives it back, and tells each what it thinks of it.
 *
 * NoBackend `busy` says that all may be begun anew with the same `state`: a backend had no room,
 * and the request may be sent, or sent again.
 */
export class Attempts implements HedgedCall {
  readonly #candidates: Candidates<Backend>
  readonly #request: DispatchRequest
  readonly #handler: DispatchHandler
  readonly #options: AttemptsOptions
  readonly #retrying: Retrying
  readonly #state: RetryState
  #use: DispatchRequest['use']
  /** The one that is under way. */
  #try: Try | undefined
  #backend: string | undefined
  #aborted: Error | undefined
  #lastError: Error | undefined
  /** A backend had no room. */
  #busy = false
  /** The one at which the request was lost, if that was no matter of its connection alone. */
  #lostAt: Backend | undefined
  /** The one that has it once more, for a connection to it was dead. */
  #again: Backend | undefined

  constructor(
    candidates: Candidates<Backend>,
    request: DispatchRequest,
    handler: DispatchHandler,
    options: AttemptsOptions,
    state: RetryState,
  ) {
    this.#candidates = candidates
    this.#request = request
    this.#handler = handler
    this.#options = options
    this.#retrying = options.retrying
    this.#state = state
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

  outpaced(patience: number): void {
    const reason = new Error('another backend has answered')
    this.#aborted ??= reason
    if (this.#try?.watch(patience, this.#options.clock) !== true) this.abort(reason)
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
    const { badAnswers, serverErrors } = options
    const bad = status === 500 ? serverErrors : badAnswers && isBadAnswer(status)
    if (!bad) return false
    if (this.#aborted !== undefined || !this.#mayRepeat()) return false
    // The one that said so is not asked again: it knows best.
    if (!this.#retries() || !this.#retrying.allows(this.#state.began, false)) return false
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
    if (tried.watched) this.#blame(tried, error, stale)
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
    this.#blame(tried, error, stale)
    this.#lastError = error
    if (!this.#mayGoOn(tried, error, stale)) this.#handler.onError(error)
    else if (!this.#next()) this.#giveUp()
  }

  /** What an error says of the backend. */
  #blame({ backend, epoch, sent, late }: Try, error: Error, stale: boolean): void {
    // A kept-alive connection that was found dead says nothing of it, nor does a body that its
    // client is long in sending.
    const patient = late && !this.#isAsked
    if (stale) backend.foundDead()
    else if (!closed(error) && !wasRefused(error) && !patient) {
      backend.failed(error, epoch, sent)
    }
  }

  get handler(): DispatchHandler {
    return this.#handler
  }

  /**
   * Where not a byte has left, any request may try its luck elsewhere; what was refused unseen is
   * as good as that, but its body may be gone.
   */
  #mayGoOn({ sent, backend }: Try, error: Error, stale: boolean): boolean {
    const { began, body } = this.#state
    if (!sent) return this.#retrying.allows(began, true)
    const bodiless = this.#request.body === undefined || body?.isWhole === true
    if (wasRefused(error) && bodiless) return this.#retrying.allows(began, true)
    if (!isWorthRetrying(error) || !this.#mayRepeat()) return false
    // What a dead connection and the next one to the same backend come to is one loss.
    const second = backend === this.#again
    if (!(second || this.#retries()) || !this.#retrying.allows(began, stale)) return false
    this.#lostAt = stale ? undefined : backend
    this.#again = stale && this.#holds(backend) ? backend : undefined
    // That a connection had died is no reason for a client to lose its place.
    if (this.#again !== undefined) this.#candidates.onceMore(backend)
    else if (!second) this.#candidates.lostAt(backend)
    return true
  }

  /** The client is to stay there while it is well. */
  #holds(backend: Backend): boolean {
    return backend === this.#request.preference?.first
  }

  /** False when it has been lost too often. */
  #retries(): boolean {
    if (this.#state.retries >= this.#retrying.options.most) return false
    this.#state.retries += 1
    return true
  }

  /** The whole request has come. */
  get #isAsked(): boolean {
    return this.#request.body?.readableEnded !== false
  }

  #mayRepeat(): boolean {
    return isRepeatable(this.#request, this.#state.body)
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
      // One that has just lost it is the worst, and another will have room.
      const waits = this.#busy && this.#options.waits
      if (waits && backend === this.#lostAt) return undefined
      const slot = backend.slots.take(this.#use, this.#request.network)
      if (typeof slot !== 'string') return new Try(this, backend, slot)
      this.#busy = true
      // Nobody waits for a place among its tunnels.
      if (this.#options.waits && slot !== 'maxTunnels') this.#candidates.full(backend)
      this.#handler.onLimit(slot, backend)
      // It is not down, so its clients wait for it, and do not lose their place.
      if (this.#holds(backend) && backend.ready) return undefined
    }
  }

  #send(next: Try): void {
    const { backend } = next
    this.#try = next
    this.#backend = backend.origin
    const call = backend.send(this.#requestTo(backend), next, this.#state.retries > 0)
    next.call = call
    const { timeout, clock } = this.#options
    if (timeout > 0) next.limit(timeout, clock)
    // By a handler that heard `onSend` meanwhile.
    if (this.#aborted !== undefined) call.abort(this.#aborted)
  }

  #requestTo({ origin }: Backend): DispatchRequest {
    const { fields, fieldsAt } = this.#request
    const { body } = this.#state
    if (body === undefined && fieldsAt === undefined) return this.#request
    return {
      ...this.#request,
      fields: fieldsAt?.(fields, origin) ?? fields,
      body: body?.next() ?? this.#request.body,
    }
  }

  /** Nobody is left that could be asked now. */
  #giveUp(): void {
    const waits = this.#options.waits || this.#lastError === undefined
    const error = this.#busy && waits ? new NoBackend('busy') : this.#lastError
    this.#handler.onError(error ?? new NoBackend('no-backend'))
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
  /** Nobody waits for its answer any more; whether there is one at all is still of interest. */
  watched = false
  /** What the backend had said when the request was sent. */
  #heard = 0
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

  /**
   * From now on its answer is nobody's, but a backend that says nothing to anybody for so long, in
   * milliseconds, is not well. One at a time is enough to know. False when there is nothing to
   * find out.
   */
  watch(patience: number, clock: Clock): boolean {
    const { backend } = this
    if (!this.sent || this.answered || this.#over || backend.watched) return false
    this.watched = true
    backend.watched = true
    this.#timer?.cancel()
    this.#timer = clock.after(patience, () => {
      const error = backendError('silent')
      this.drop(error)
      if (backend.heard === this.#heard) backend.failed(error, this.epoch, true)
    })
    return true
  }

  drop(reason: Error): void {
    this.#unwatch()
    this.#timer?.cancel()
    this.#over = true
    this.slot.release()
    this.call?.abort(reason)
  }

  #unwatch(): void {
    if (this.watched) this.backend.watched = false
  }

  onSend(): void {
    if (this.#over) return
    this.sent = true
    this.#heard = this.backend.heard
    this.#of.handler.onSend()
  }

  onInform(status: number, fields: string[]): void {
    if (!this.#over && !this.watched) this.#of.handler.onInform(status, fields)
  }

  onResponse(status: number, text: string, fields: string[], last?: boolean): void {
    if (this.#over) return
    this.#timer?.cancel()
    this.slot.answered()
    this.#status = status
    this.backend.answered(status, this.epoch)
    if (this.watched) {
      this.drop(new Error('it has answered'))
      return
    }
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
    this.#unwatch()
    this.#timer?.cancel()
    this.#over = true
    this.slot.release()
    this.#of.failed(this, error)
  }
}
