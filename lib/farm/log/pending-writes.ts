import type { Clock, Timer } from '../../clock.ts'

const maxPending = 65_536

/** Writes whose caller waits until one other member, or all of them, hold the entry. */
export class PendingWrites {
  readonly #clock: Clock
  readonly #writes = new Map<number, PendingWrite>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#writes.size
  }

  /**
   * Resolves true when one of `members` (or all of them, for `all`) hold the entry, false
   * when `budget` milliseconds have passed or none of them is left that could.
   */
  wait(
    sequence: number,
    level: 'one' | 'all',
    members: Iterable<string>,
    budget: number,
  ): Promise<boolean> {
    if (budget <= 0 || this.#writes.size >= maxPending) return Promise.resolve(false)
    return new Promise(resolve => {
      const timer = this.#clock.after(budget, () => this.#settle(sequence, false))
      const missing = new Set(members)
      this.#writes.set(sequence, { level, missing, unable: undefined, resolve, timer })
    })
  }

  /** The member holds the entries behind `after`, up to and with `upTo`. */
  credit(member: string, after: number, upTo: number): void {
    if (upTo - after > this.#writes.size) {
      for (const sequence of this.#writes.keys()) {
        if (sequence > after && sequence <= upTo) this.#credit(member, sequence)
      }
      return
    }
    for (let sequence = after + 1; sequence <= upTo; sequence++) {
      this.#credit(member, sequence)
    }
  }

  /** The member has the entry and could not take it: it never will hold it. */
  missed(member: string, sequence: number): void {
    const write = this.#writes.get(sequence)
    if (write === undefined) return
    write.missing.delete(member)
    write.unable ??= new Set()
    write.unable.add(member)
    if (write.level === 'all' || write.missing.size === 0) this.#settle(sequence, false)
  }

  /**
   * The member is gone for good: nobody waits for it any longer. One that is there, and that
   * one of us has `refused`, was reached and did not take it.
   */
  gone(member: string, refused = false): void {
    for (const [sequence, write] of this.#writes) {
      if (!write.missing.delete(member)) continue
      if (refused && write.level === 'all') this.#settle(sequence, false)
      if (write.missing.size > 0) continue
      // All that are left have it; or, for `one`, nobody is left that could have had it.
      this.#settle(sequence, write.level === 'all')
    }
  }

  close(): void {
    for (const sequence of this.#writes.keys()) this.#settle(sequence, false)
  }

  #credit(member: string, sequence: number): void {
    const write = this.#writes.get(sequence)
    if (write === undefined || write.unable?.has(member)) return
    const counted = write.missing.delete(member)
    if (write.level === 'one' || (counted && write.missing.size === 0)) {
      this.#settle(sequence, true)
    }
  }

  #settle(sequence: number, reached: boolean): void {
    const write = this.#writes.get(sequence)
    if (write === undefined) return
    this.#writes.delete(sequence)
    write.timer.cancel()
    write.resolve(reached)
  }
}

interface PendingWrite {
  readonly level: 'one' | 'all'
  readonly missing: Set<string>
  /** They got it and could not take it. */
  unable: Set<string> | undefined
  readonly resolve: (reached: boolean) => void
  readonly timer: Timer
}
