import type { Backend } from '../../backend/backend.ts'
import type { SlotLimit, SlotUse } from '../../backend/slots.ts'
import type { Clock, Timer } from '../../clock.ts'
import type { QueuePlace } from '../../limit/fair-queue.ts'
import { CallAround } from '../around/call-around.ts'
import type { CandidateWishes } from '../candidates.ts'
import type { DispatchCall, DispatchHandler, DispatchRequest } from '../dispatch.ts'
import { NoBackend } from '../no-backend.ts'
import type { Lines, SlotWaiter } from './lines.ts'
import { type Urgency, usualUrgency } from './urgency.ts'

export interface QueueOptions {
  readonly lines: Lines
  /** Longest wait in milliseconds. */
  readonly timeout: number
  readonly clock: Clock
}

/** Gives a request to backends; anew each time it is called. */
export type Attempt = (
  request: DispatchRequest,
  handler: DispatchHandler,
  wishes: CandidateWishes<Backend>,
) => DispatchCall

const nobody: readonly Backend[] = []

/**
 * A request that waits while the backends that would have it have no room: in the line of each of
 * them, until the first has. It goes by the one that calls, and leaves the others' lines.
 */
export class Queued extends CallAround implements SlotWaiter {
  readonly #request: DispatchRequest
  readonly #wishes: CandidateWishes<Backend>
  readonly #attempt: Attempt
  readonly #options: QueueOptions
  use: SlotUse
  /** Those that had no room. */
  #full = nobody
  /** Those in whose lines it stands. */
  #waitsAt = nobody
  #limit: SlotLimit | undefined
  #timer: Timer | undefined
  /** What had been held back has come, to a backend that had no room: there is no second time. */
  #begun = false
  #over = false

  constructor(
    request: DispatchRequest,
    handler: DispatchHandler,
    wishes: CandidateWishes<Backend>,
    attempt: Attempt,
    options: QueueOptions,
  ) {
    super(handler)
    this.#request = request
    this.#wishes = wishes
    this.#attempt = attempt
    this.#options = options
    this.use = request.use
  }

  get place(): QueuePlace {
    const { network = '', client = this } = this.#request
    return { network, connection: client }
  }

  get urgency(): Urgency {
    return this.#request.urgency ?? usualUrgency
  }

  get network(): string | undefined {
    return this.#request.network
  }

  /** To be called once. */
  start(): void {
    this.#try(this.#wishes)
  }

  /** A backend in whose line it stood has room, or is not well any more. */
  go(backend: Backend): void {
    if (!this.#waitsAt.includes(backend)) return
    this.#leave()
    // One that has gone down meanwhile has room because it has lost what it had.
    this.#try(backend.ready ? { ...this.#wishes, first: backend } : this.#wishes)
  }

  displaced(from: Backend): void {
    this.#waitsAt = this.#waitsAt.filter(backend => backend !== from)
    if (this.#waitsAt.length > 0) return
    // Not while another one is about to join the line.
    process.nextTick(() => {
      if (!this.#over) this.#fail(new NoBackend('busy'))
    })
  }

  override abort(reason: Error): void {
    if (this.#waitsAt.length === 0) super.abort(reason)
    else this.#fail(reason)
  }

  override bodyArrived(): void {
    this.use = 'request'
    if (this.#waitsAt.length > 0) return
    this.#begun = true
    super.bodyArrived()
  }

  override onSend(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    super.onSend()
  }

  override onLimit(limit: SlotLimit, backend: Backend): void {
    this.#full = [...this.#full, backend]
    this.#limit = limit
    super.onLimit(limit, backend)
  }

  override onError(error: Error): void {
    const busy = error instanceof NoBackend && error.code === 'busy'
    // A place among tunnels may come free in hours.
    const waits = busy && !this.#begun && this.#limit !== 'maxTunnels'
    if (!waits || !this.#wait()) this.handler.onError(error)
  }

  #try(wishes: CandidateWishes<Backend>): void {
    this.#full = nobody
    const request =
      this.use === this.#request.use ? this.#request : { ...this.#request, use: this.use }
    this.call = this.#attempt(request, this, wishes)
  }

  /** False when no line has room for it. */
  #wait(): boolean {
    const { lines, timeout, clock } = this.#options
    if (timeout === 0 || this.#over) return false
    this.#waitsAt = this.#full.filter(backend => lines.join(backend, this))
    if (this.#waitsAt.length === 0) return false
    // From when it first had to wait.
    this.#timer ??= clock.after(timeout, () => {
      if (this.#waitsAt.length > 0) this.#fail(new NoBackend('queue-timeout'))
    })
    // Room that came while it was told that there is none.
    for (const backend of this.#waitsAt) {
      if (!backend.slots.hasRoom(this.use, this.network)) continue
      this.go(backend)
      break
    }
    return true
  }

  #leave(): void {
    for (const backend of this.#waitsAt) this.#options.lines.leave(backend, this)
    this.#waitsAt = nobody
  }

  #fail(error: Error): void {
    this.#over = true
    this.#leave()
    this.#timer?.cancel()
    this.handler.onError(error)
  }
}
