import type { Clock, Timer } from '../../lib/clock.ts'
import { RefusedByDatabase } from '../../lib/state/database.ts'
import type { Call, Outcome, Row, Undone } from './call.ts'
import { unavailable } from './fault.ts'

/** Groups under way: one is on its way while another is being committed. */
const mostGroups = 2
/** Writes of a group, and bytes of their values; a larger one goes alone. */
const mostWrites = 32
const mostBytes = 262_144
/** Groups that take long hold up the next one for so many ms. */
const longestHold = 50
/** Groups that others may spoil for a write; then it goes alone. */
const mostSpoilt = 3

export interface Write extends Call {
  /** Of the entry. Every server locks those of a group in this order. */
  readonly place: string
  readonly bytes: number
}

export interface GroupCommitParts {
  readonly clock: Clock
  /** Writes that may wait; more are refused. */
  readonly queue: number
  /** Longest wait, in ms, behind another write of the entry, and for a turn to go alone. */
  readonly patience: number
  /** Transactions at once that may wait for somebody's lock as long as a write may. */
  readonly mostPatient: number
  /**
   * Runs them as one transaction. Where it is not patient, it fails soon for a lock that somebody
   * else keeps. Rejects where there was no connection, or no answer.
   */
  commit(writes: readonly Call[], isPatient: boolean): Promise<Outcome>
}

interface Waiting {
  readonly write: Write
  resolve(row: Row | undefined): void
  reject(error: unknown): void
  /** Groups that it was in and that were undone. */
  spoilt: number
  limit: Timer | undefined
}

/**
 * Group commit: writes that come while others are under way go out together, as one transaction.
 * What a commit costs, which is most of what a write costs, they share; the more there are the
 * larger the groups.
 *
 * A write that makes a group fail is nobody else's fault. All of it has been undone; the one at
 * which it failed is tried alone, and the others go with the next group. An entry has one write
 * under way, so that one which somebody keeps locked costs one connection and spoils one group.
 */
export class GroupCommit {
  readonly #parts: GroupCommitParts
  #waiting: Waiting[] = []
  #alone: Waiting[] = []
  /** By the entry, those who wait for the write of it that is under way. */
  readonly #lines = new Map<string, Waiting[]>()
  #count = 0
  #groups = 0
  #patient = 0
  #isDue = false
  #hold: Timer | undefined
  #onIdle: (() => void) | undefined

  constructor(parts: GroupCommitParts) {
    this.#parts = parts
  }

  /** Resolves with the row that it gave, when it is committed. */
  write(write: Write): Promise<Row | undefined> {
    const { queue } = this.#parts
    if (this.#count >= queue) {
      return Promise.reject(unavailable(`${queue} writes wait already`))
    }
    return new Promise((resolve, reject) => {
      const one: Waiting = { write, resolve, reject, spoilt: 0, limit: undefined }
      this.#count += 1
      const line = this.#lines.get(write.place)
      if (line === undefined) {
        this.#lines.set(write.place, [])
        this.#enter(one)
        return
      }
      line.push(one)
      this.#limit(one, () => line.splice(line.indexOf(one), 1))
    })
  }

  /** Those that wait go out at once; resolves when all have ended. */
  close(): Promise<void> {
    while (this.#waiting.length > 0) this.#start()
    this.#hold?.cancel()
    return new Promise(resolve => {
      this.#onIdle = resolve
      this.#checkIdle()
    })
  }

  #enter(one: Waiting): void {
    this.#waiting.push(one)
    this.#startSoon()
  }

  /** When all that came in with this turn of the loop has said what it writes. */
  #startSoon(): void {
    if (this.#isDue) return
    if (this.#groups >= mostGroups) {
      this.#startAfterHold()
      return
    }
    this.#isDue = true
    setImmediate(() => {
      this.#isDue = false
      this.#start()
      if (this.#waiting.length > 0) this.#startSoon()
    })
  }

  #startAfterHold(): void {
    this.#hold ??= this.#parts.clock.after(longestHold, () => {
      this.#hold = undefined
      this.#start()
      if (this.#waiting.length > 0) this.#startSoon()
    })
  }

  #start(): void {
    const group = this.#take()
    if (group.length === 0) return
    if (this.#waiting.length === 0) {
      this.#hold?.cancel()
      this.#hold = undefined
    }
    this.#groups += 1
    const isPatient = group.length === 1 && this.#patient < this.#parts.mostPatient
    void this.#run(group, isPatient).finally(() => {
      this.#groups -= 1
      if (this.#waiting.length > 0) this.#startSoon()
    })
  }

  #take(): Waiting[] {
    let [count, bytes] = [0, 0]
    for (const { write } of this.#waiting) {
      bytes += write.bytes
      if (count > 0 && (count === mostWrites || bytes > mostBytes)) break
      count += 1
    }
    return this.#waiting.splice(0, count).sort(byPlace)
  }

  #goAlone(one: Waiting): void {
    this.#alone.push(one)
    this.#limit(one, () => {
      this.#alone.splice(this.#alone.indexOf(one), 1)
      this.#next(one, true)
    })
    this.#startAlone()
  }

  #startAlone(): void {
    while (this.#patient < this.#parts.mostPatient) {
      const one = this.#alone.shift()
      if (one === undefined) return
      one.limit?.cancel()
      void this.#run([one], true)
    }
  }

  async #run(group: readonly Waiting[], isPatient: boolean): Promise<void> {
    if (isPatient) this.#patient += 1
    try {
      const outcome = await this.#parts.commit(
        group.map(({ write }) => write),
        isPatient,
      )
      if ('rows' in outcome) {
        for (const [at, one] of group.entries()) one.resolve(outcome.rows[at]?.[0])
      } else if (!isPatient) {
        this.#sort(group, outcome)
        return
      } else group[0]?.reject(outcome.fault)
      this.#ended(group, isPatient && !('rows' in outcome))
    } catch (error) {
      for (const { reject } of group) reject(error)
      this.#ended(group, false)
    } finally {
      if (isPatient) this.#patient -= 1
      this.#startAlone()
    }
  }

  /** Who goes with the next group, and who alone. */
  #sort(group: readonly Waiting[], { at }: Undone): void {
    for (const [number, one] of group.entries()) {
      one.spoilt += 1
      const isOwn = number === at || at === group.length
      if (isOwn || one.spoilt === mostSpoilt) this.#goAlone(one)
      else this.#waiting.push(one)
    }
    if (this.#waiting.length > 0) this.#startSoon()
  }

  #ended(group: readonly Waiting[], isRefused: boolean): void {
    for (const one of group) {
      this.#count -= 1
      this.#next(one, isRefused)
    }
    this.#checkIdle()
  }

  /** The next write of the same entry. */
  #next({ write: { place } }: Waiting, isRefused: boolean): void {
    const next = this.#lines.get(place)?.shift()
    if (next === undefined) {
      this.#lines.delete(place)
      return
    }
    next.limit?.cancel()
    if (isRefused) this.#goAlone(next)
    else this.#enter(next)
  }

  #limit(one: Waiting, leave: () => void): void {
    const { clock, patience } = this.#parts
    one.limit = clock.after(patience, () => {
      this.#count -= 1
      leave()
      one.reject(
        new RefusedByDatabase(
          `PostgreSQL: writes before this one have not ended for ${patience} ms`,
        ),
      )
      this.#checkIdle()
    })
  }

  #checkIdle(): void {
    if (this.#count === 0) this.#onIdle?.()
  }
}

function byPlace({ write: one }: Waiting, { write: other }: Waiting): number {
  return one.place < other.place ? -1 : one.place > other.place ? 1 : 0
}
