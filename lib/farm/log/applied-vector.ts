import { maxVectorEntries, type VectorEntry } from '../../wire/frame-sync.ts'

/** One run of one member: its log is numbered from 1 anew at each start. */
export interface Origin {
  readonly id: string
  readonly incarnation: number
}

export function originName({ id, incarnation }: Origin): string {
  return `${id}/${incarnation}`
}

/**
 * How much of each member's log is in the table here.
 *
 *      1 ......... whole        runStart ....... next - 1
 *      |===========|   (hole)   |================|            entries that are held
 *
 * `whole` is where everything up to it is held. The run is what the link brought since it was
 * last told where to start. Where the run begins at `whole` + 1 or before, there is no hole
 * and `whole` moves with it.
 */
export class AppliedVector {
  readonly #logs = new Map<string, AppliedLog>()

  /**
   * Where the origin's log is to start: behind what is held, or behind `covered` when a
   * snapshot that is under way will bring the rest. `again` when the link is running already:
   * what it sent meanwhile is then ahead of its new start, and no error.
   */
  start(origin: Origin, covered = 0, again = false): number {
    const log = this.#log(origin)
    const after = Math.max(log.whole, covered)
    log.rewound = again
    log.runStart = after + 1
    log.next = after + 1
    return after
  }

  /** True when what is under way leaves a hole that a start at `covered` would not. */
  mustRewind(origin: Origin, covered: number): boolean {
    const log = this.#log(origin)
    const held = Math.max(log.whole, covered)
    return held < log.runStart - 1 && log.whole < log.runStart - 1
  }

  /** Notes entries as applied. False when entries before them are missing. */
  take(origin: Origin, first: number, count: number): boolean {
    const log = this.#log(origin)
    const end = first + count
    if (first > log.next) return log.rewound
    log.rewound = false
    if (first < log.runStart) {
      log.runStart = first
      log.next = end
    } else {
      log.next = Math.max(log.next, end)
    }
    join(log)
    return true
  }

  /** The origin has dropped what lies before `next`. */
  skip(origin: Origin, next: number): void {
    const log = this.#log(origin)
    log.rewound = false
    log.runStart = next
    log.next = next
    join(log)
  }

  /** Entries up to `sequence` exist, and no link will bring them. */
  expect(origin: Origin, sequence: number): void {
    const log = this.#log(origin)
    if (log.next > sequence) return
    log.runStart = sequence + 1
    log.next = sequence + 1
  }

  /** A whole snapshot has been applied, of which this was the vector before its walk. */
  cover(entries: readonly VectorEntry[]): void {
    for (const { member, incarnation, sequence } of entries) {
      const log = this.#log({ id: member, incarnation })
      log.whole = Math.max(log.whole, sequence)
      join(log)
    }
  }

  /** Newest entry of the origin that is held, be there a hole before it or not. */
  applied(origin: Origin): number {
    const log = this.#logs.get(originName(origin))
    return log === undefined ? 0 : Math.max(log.whole, log.next - 1)
  }

  /** Everything up to `sequence` is held, and nothing behind it is missing. */
  holds(origin: Origin, sequence: number): boolean {
    const log = this.#logs.get(originName(origin))
    if (log === undefined) return sequence === 0
    return log.whole >= sequence && log.whole >= log.runStart - 1
  }

  /** The origins of which something is missing that their links will not bring. */
  holes(): Origin[] {
    return [...this.#logs.values()]
      .filter(log => log.whole < log.runStart - 1)
      .map(log => log.origin)
  }

  /** Nobody can fill the hole: goes on as if it were filled. */
  giveUp(origin: Origin): void {
    const log = this.#log(origin)
    log.whole = Math.max(log.whole, log.next - 1)
  }

  /** Up to where all of the origin's log is held. */
  whole(origin: Origin): number {
    return this.#logs.get(originName(origin))?.whole ?? 0
  }

  /** What a member that takes a snapshot from here may count on. */
  entries(): VectorEntry[] {
    return [...this.#logs.values()]
      .filter(log => log.whole > 0)
      .map(({ origin, whole }) => ({
        member: origin.id,
        incarnation: origin.incarnation,
        sequence: whole,
      }))
  }

  forget(id: string): void {
    for (const [name, { origin }] of this.#logs) {
      if (origin.id === id) this.#logs.delete(name)
    }
  }

  #log(origin: Origin): AppliedLog {
    const name = originName(origin)
    let log = this.#logs.get(name)
    if (log === undefined) {
      log = { origin, whole: 0, runStart: 1, next: 1, rewound: false }
      this.#logs.set(name, log)
      // Forgetting costs a snapshot when that origin comes again, never a record.
      const oldest = this.#logs.keys().next().value
      if (this.#logs.size > maxVectorEntries && oldest !== undefined) {
        this.#logs.delete(oldest)
      }
    }
    return log
  }
}

interface AppliedLog {
  readonly origin: Origin
  whole: number
  runStart: number
  next: number
  /** Entries that were sent before the link heard of its new start may still come. */
  rewound: boolean
}

function join(log: AppliedLog): void {
  if (log.runStart <= log.whole + 1) log.whole = Math.max(log.whole, log.next - 1)
}
