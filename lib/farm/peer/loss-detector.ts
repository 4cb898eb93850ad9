import { maxRanges, type SequenceRange } from '../../wire/datagram-control.ts'
import { type NackGroup, nackDelay } from './nack-delay.ts'
import type { ReceiveWindow } from './receive-window.ts'

/** Datagrams that a receiver may have asked one sender for and not got yet. */
export const maxOutstandingAsks = 64
const firstRetry = 20
const longestRetry = 160
const maxAttempts = 6
/** Between two attempts over the stream, once datagrams have failed. */
const pullInterval = 500

export type LossAnswer =
  | { readonly kind: 'nack'; readonly ranges: SequenceRange[] }
  /** Datagrams do not bring it: ask over the stream. */
  | { readonly kind: 'pull'; readonly ranges: SequenceRange[] }

/**
 * When to ask one sender for what is missing: once after a short wait for each new gap, then
 * again with growing intervals, then over the stream. One instance per sender.
 */
export class LossDetector {
  readonly #window: ReceiveWindow
  readonly #random: () => number
  /** Gaps up to here were asked for, by us or by somebody whom we heard. */
  #askedUpTo: number
  #firstAt = Infinity
  #retryAt = Infinity
  #attempts = 0

  constructor(window: ReceiveWindow, random: () => number) {
    this.#window = window
    this.#random = random
    this.#askedUpTo = window.contiguous
  }

  /** When `due` has something to say. */
  get deadline(): number {
    return Math.min(this.#firstAt, this.#retryAt)
  }

  /** A datagram came or a heartbeat told of one. */
  look(sequence: number, group: NackGroup, now: number): void {
    if (this.#window.complete) {
      this.#rest()
      return
    }
    if (sequence <= this.#askedUpTo) this.#attempts = 0
    if (this.#firstAt !== Infinity) return
    const [gap] = this.#window.missing(this.#askedUpTo + 1, Infinity, 1, 1)
    if (gap !== undefined) this.#firstAt = now + nackDelay(gap.first, group, this.#random)
  }

  /** What to ask for now. */
  due(now: number): LossAnswer | undefined {
    if (this.#window.complete) {
      this.#rest()
      return undefined
    }
    if (this.#retryAt <= now) return this.#retry(now)
    if (this.#firstAt <= now) return this.#first(now)
    return undefined
  }

  /**
   * Another receiver asked the same sender for these. Where it asked for what we miss, the
   * repair will come to us too, so our own question can wait.
   */
  overheard(ranges: readonly SequenceRange[], now: number): void {
    if (this.#window.complete || this.deadline === Infinity) return
    const missing = this.#window.missing(0, Infinity, maxOutstandingAsks, maxRanges)
    const covered = missing.every(gap =>
      ranges.some(
        asked =>
          asked.first <= gap.first &&
          gap.first + gap.length <= asked.first + asked.length,
      ),
    )
    const last = missing.at(-1)
    if (!covered || last === undefined) return
    this.#askedUpTo = Math.max(this.#askedUpTo, last.first + last.length - 1)
    this.#firstAt = Infinity
    this.#retryAt = now + this.#jitter(firstRetry)
  }

  /** Numbers were made missing again, or stopped being awaited. */
  restart(group: NackGroup, now: number): void {
    this.#rest()
    this.look(Infinity, group, now)
  }

  #first(now: number): LossAnswer | undefined {
    this.#firstAt = Infinity
    const outstanding = count(
      this.#window.missing(0, this.#askedUpTo, maxOutstandingAsks, Infinity),
    )
    const room = maxOutstandingAsks - outstanding
    // Too much is on its way already: the retry goes on from there.
    if (room < maxOutstandingAsks / 2) return undefined
    const ranges = this.#window.missing(this.#askedUpTo + 1, Infinity, room, maxRanges)
    if (ranges.length === 0) return undefined
    this.#asked(ranges)
    if (this.#retryAt === Infinity) this.#retryAt = now + this.#jitter(firstRetry)
    return { kind: 'nack', ranges }
  }

  #retry(now: number): LossAnswer {
    const ranges = this.#window.missing(0, Infinity, maxOutstandingAsks, maxRanges)
    this.#firstAt = Infinity
    this.#askedUpTo = 0
    this.#asked(ranges)
    if (this.#attempts >= maxAttempts) {
      this.#retryAt = now + this.#jitter(pullInterval)
      return { kind: 'pull', ranges }
    }
    this.#retryAt =
      now + this.#jitter(Math.min(longestRetry, firstRetry * 2 ** this.#attempts))
    this.#attempts += 1
    return { kind: 'nack', ranges }
  }

  #asked(ranges: readonly SequenceRange[]): void {
    const last = ranges.at(-1)
    if (last !== undefined)
      this.#askedUpTo = Math.max(this.#askedUpTo, last.first + last.length - 1)
  }

  #rest(): void {
    this.#firstAt = Infinity
    this.#retryAt = Infinity
    this.#attempts = 0
    this.#askedUpTo = this.#window.contiguous
  }

  /** 75 to 125 %, so that receivers who lost together do not ask together. */
  #jitter(ms: number): number {
    return ms * (0.75 + this.#random() / 2)
  }
}

function count(ranges: readonly SequenceRange[]): number {
  return ranges.reduce((sum, range) => sum + range.length, 0)
}
