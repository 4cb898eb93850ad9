import type { SequenceRange } from '../../wire/datagram-control.ts'

/** How far beyond the first gap a datagram may be and still be taken. */
export const receiveWindowLength = 4_096

/**
 * Which data datagrams of one sender have come: everything up to `contiguous`, and a bit for
 * each of the 4096 after it. It is the replay window too: what is not `fresh` is dropped
 * before it is opened, and `mark` is called only for what was authentic.
 */
export class ReceiveWindow {
  readonly #taken = new Uint32Array(receiveWindowLength / 32)
  #contiguous: number
  #highest: number
  #known: number

  /** `before`: the sender's last number before the first one that this receiver waits for. */
  constructor(before: number) {
    this.#contiguous = before
    this.#highest = before
    this.#known = before
  }

  /** Everything up to here has come. */
  get contiguous(): number {
    return this.#contiguous
  }

  /** The largest number that has come. */
  get highest(): number {
    return this.#highest
  }

  /** The largest number that the sender is known to have used. */
  get known(): number {
    return this.#known
  }

  get complete(): boolean {
    return this.#contiguous >= this.#known
  }

  fresh(sequence: number): boolean {
    return (
      sequence > this.#contiguous &&
      sequence <= this.#contiguous + receiveWindowLength &&
      !this.#has(sequence)
    )
  }

  mark(sequence: number): void {
    this.#set(sequence, true)
    this.#highest = Math.max(this.#highest, sequence)
    this.learn(sequence)
    this.#advance()
  }

  /** The sender says that it has used every number up to `last`. */
  learn(last: number): void {
    if (last > this.#known) this.#known = last
  }

  /** What is missing in `from`..`to`, at most `limit` numbers in at most `maxRanges` ranges. */
  missing(from: number, to: number, limit: number, maxRanges: number): SequenceRange[] {
    const ranges: { first: number; length: number }[] = []
    const end = Math.min(to, this.#known, this.#contiguous + receiveWindowLength)
    let open: { first: number; length: number } | undefined
    let found = 0
    for (let at = Math.max(from, this.#contiguous + 1); at <= end; at++) {
      if (this.#has(at)) {
        open = undefined
        continue
      }
      if (open === undefined) {
        if (ranges.length === maxRanges) break
        open = { first: at, length: 0 }
        ranges.push(open)
      }
      open.length += 1
      found += 1
      if (found === limit) break
    }
    return ranges
  }

  /** Also wait for what came after `before`, although it was sent before this window began. */
  lower(before: number): void {
    if (before >= this.#contiguous) return
    // Beyond one window's length the bits cannot say what came: ask for all of it again.
    const kept = this.#contiguous - before < receiveWindowLength
    const end = Math.min(this.#highest, before + receiveWindowLength)
    const came: number[] = []
    for (let at = this.#contiguous + 1; kept && at <= end; at++)
      if (this.#has(at)) came.push(at)
    this.#taken.fill(0)
    this.#contiguous = before
    for (const at of came) this.#set(at, true)
  }

  /** What came up to `sequence` is here by another way: stop waiting for it. */
  skip(sequence: number): void {
    if (sequence <= this.#contiguous) return
    const end = Math.min(sequence, this.#contiguous + receiveWindowLength)
    for (let at = this.#contiguous + 1; at <= end; at++) this.#set(at, false)
    this.#contiguous = sequence
    this.#highest = Math.max(this.#highest, sequence)
    this.learn(sequence)
    this.#advance()
  }

  /** Bits behind `contiguous` are cleared as it passes, for the numbers one turn later. */
  #advance(): void {
    while (this.#contiguous < this.#highest && this.#has(this.#contiguous + 1)) {
      this.#contiguous += 1
      this.#set(this.#contiguous, false)
    }
  }

  #has(sequence: number): boolean {
    return ((this.#taken[wordOf(sequence)] ?? 0) & (1 << (sequence % 32))) !== 0
  }

  #set(sequence: number, value: boolean): void {
    const word = wordOf(sequence)
    const bit = 1 << (sequence % 32)
    const old = this.#taken[word] ?? 0
    this.#taken[word] = value ? old | bit : old & ~bit
  }
}

function wordOf(sequence: number): number {
  return Math.floor((sequence % receiveWindowLength) / 32)
}
