import type { Clock, Timer } from '../clock.ts'
import type { WriteLevel } from '../farm/transport.ts'
import { type CacheRecord, recordLength } from '../record/record.ts'

/** What waits for a keeper that is away, in bytes of records. */
const mostBytes = 32 * 1024 * 1024

export interface Write {
  readonly record: CacheRecord
  readonly level: WriteLevel
  /** Monotonic time until which somebody waits for it. */
  readonly endsAt: number
  readonly settle: (reached: boolean) => void
  timer: Timer | undefined
}

/**
 * Writes that a keeper has not said to be done, by the number that they have on the link of
 * now. They outlast their waits and the link: a keeper that dies takes nothing with it.
 */
export class UndoneWrites {
  readonly #clock: Clock
  #writes = new Map<number, Write>()
  #last = 0
  #bytes = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#writes.size
  }

  /** Its number on the link; `settle` is called once, at the latest after `budget` ms. */
  add(
    record: CacheRecord,
    level: WriteLevel,
    budget: number,
    settle: (reached: boolean) => void,
  ): number {
    const endsAt = this.#clock.monotonic() + budget
    const write: Write = { record, level, endsAt, settle, timer: undefined }
    write.timer = this.#clock.after(budget, () => settle(false))
    this.#bytes += recordLength(record)
    this.#makeRoom()
    this.#last += 1
    this.#writes.set(this.#last, write)
    return this.#last
  }

  done(number: number, reached: boolean): void {
    const write = this.#writes.get(number)
    if (write === undefined) return
    this.#drop(number, write, reached)
  }

  /** A new link: all get new numbers, in the order in which they were written. */
  *renumber(): Generator<[number, Write]> {
    const writes = [...this.#writes.values()]
    this.#writes = new Map()
    this.#last = 0
    for (const write of writes) this.#writes.set(++this.#last, write)
    yield* this.#writes
  }

  close(): void {
    for (const [number, write] of this.#writes) this.#drop(number, write, false)
  }

  /** The oldest goes: others have heard of it, or will when they ask. */
  #makeRoom(): void {
    for (const [number, write] of this.#writes) {
      if (this.#bytes <= mostBytes) return
      this.#drop(number, write, false)
    }
  }

  #drop(number: number, write: Write, reached: boolean): void {
    this.#writes.delete(number)
    this.#bytes -= recordLength(write.record)
    write.timer?.cancel()
    write.settle(reached)
  }
}
