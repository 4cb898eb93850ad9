import type { Backend } from '../../backend/backend.ts'
import { isBadAnswer } from '../../backend/backend.ts'
import type { SlotLimit } from '../../backend/slots.ts'
import type { Timer } from '../../clock.ts'
import { CallAround } from '../around/call-around.ts'
import { HandlerAround } from '../around/handler-around.ts'
import type { DispatchCall, DispatchHandler } from '../dispatch.ts'
import type { Hedging } from './hedging.ts'

export interface HedgedCall extends DispatchCall {
  /**
   * Another backend has answered. What this one says is nobody's any more; but when it says
   * nothing to anybody for `patience` milliseconds from now on, that is a fault of it.
   */
  outpaced(patience: number): void
}

/** Gives the request to a backend; to another one than `first`, the origin of one that has it. */
export type Ask = (handler: DispatchHandler, first: string | undefined) => HedgedCall

/**
 * A request that is given to a second backend when the first takes long to answer (Dean and
 * Barroso, "The tail at scale", 2013). The first answer counts, and the other is given up; but
 * one that says 502, 503 or 504 does not, as long as the other may say something better.
 */
export class Hedged extends CallAround {
  readonly #ask: Ask
  readonly #hedging: Hedging
  readonly #began: number
  readonly #first: Runner
  #second: Runner | undefined
  #winner: Runner | undefined
  #timer: Timer | undefined
  #aborted = false
  /** What the first came to, while the second is under way. */
  #error: Error | undefined

  constructor(handler: DispatchHandler, ask: Ask, hedging: Hedging) {
    super(handler)
    this.#ask = ask
    this.#hedging = hedging
    this.#began = hedging.clock.monotonic()
    this.#first = new Runner(handler, this)
  }

  /** To be called once. */
  start(): void {
    this.call = this.#first.run(this.#ask(this.#first, undefined))
    const { delay, clock } = this.#hedging
    if (delay !== undefined) this.#timer = clock.after(delay, () => this.#hedge())
  }

  override abort(reason: Error): void {
    this.#aborted = true
    this.#timer?.cancel()
    for (const runner of [this.#first, this.#second]) {
      if (runner?.over === false) runner.call?.abort(reason)
    }
  }

  isFirst(runner: Runner): boolean {
    return runner === this.#first
  }

  /** For a runner that has an answer: whether it is the one. */
  wins(runner: Runner, status: number): boolean {
    if (runner === this.#winner) return true
    const other = this.#otherOf(runner)
    if (isBadAnswer(status) && other !== undefined) {
      this.#drop(runner)
      return false
    }
    const { clock } = this.#hedging
    this.#timer?.cancel()
    this.#winner = runner
    this.#hedging.answered(clock.monotonic() - this.#began)
    this.#tell(runner === this.#second ? 'won' : 'lost')
    if (other !== undefined) this.#drop(other)
    if (runner.call !== undefined) this.call = runner.call
    return true
  }

  /**
   * For a runner that has come to an error: what is the end, if it is that. What became of the
   * first is what would have become of it alone.
   */
  loses(runner: Runner, error: Error): Error | undefined {
    if (runner === this.#winner) return error
    this.#timer?.cancel()
    runner.over = true
    const other = this.#otherOf(runner)
    if (other === undefined) {
      this.#tell('lost')
      return this.#error ?? error
    }
    if (runner === this.#first) this.#error = error
    if (other.call !== undefined) this.call = other.call
    return undefined
  }

  #hedge(): void {
    if (this.#winner !== undefined || this.#first.over || this.#aborted) return
    const { retrying } = this.#hedging
    if (!retrying.allows(this.#began, false)) {
      this.#hedging.onOutcome('no-budget')
      return
    }
    const second = new Runner(this.handler, this)
    this.#second = second
    second.run(this.#ask(second, this.backend))
  }

  /** The one that may answer yet. */
  #otherOf(runner: Runner): Runner | undefined {
    const other = runner === this.#first ? this.#second : this.#first
    return other?.over === false ? other : undefined
  }

  #drop(runner: Runner): void {
    runner.over = true
    runner.call?.outpaced(this.#hedging.patience)
    const other = this.#otherOf(runner)
    if (other?.call !== undefined) this.call = other.call
  }

  /** Once, if there was a second one. */
  #tell(outcome: 'won' | 'lost'): void {
    if (this.#second?.sent === true) this.#hedging.onOutcome(outcome)
  }
}

/** The request at one of the two. */
class Runner extends HandlerAround {
  readonly #of: Hedged
  call: HedgedCall | undefined
  sent = false
  /** Nothing it says counts any more. */
  over = false

  constructor(handler: DispatchHandler, of: Hedged) {
    super(handler)
    this.#of = of
  }

  run(call: HedgedCall): HedgedCall {
    this.call = call
    return call
  }

  override onSend(): void {
    this.sent = true
    if (this.#of.isFirst(this) && !this.over) super.onSend()
  }

  override onLimit(limit: SlotLimit, backend: Backend): void {
    if (this.#of.isFirst(this) && !this.over) super.onLimit(limit, backend)
  }

  override onInform(status: number, fields: string[]): void {
    if (this.#of.isFirst(this) && !this.over) super.onInform(status, fields)
  }

  override onResponse(
    status: number,
    text: string,
    fields: string[],
    last?: boolean,
  ): void {
    if (this.over || !this.#of.wins(this, status)) return
    super.onResponse(status, text, fields, last)
  }

  override onData(chunk: Buffer): void {
    if (!this.over) super.onData(chunk)
  }

  override onEnd(trailers: string[]): void {
    if (!this.over) super.onEnd(trailers)
  }

  override onError(error: Error): void {
    const end = this.over ? undefined : this.#of.loses(this, error)
    if (end !== undefined) super.onError(end)
  }
}
