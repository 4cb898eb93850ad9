import type { Clock, Timer } from '../../lib/clock.ts'
import { HandfastError } from '../../lib/errors.ts'
import type { Call, Row } from './call.ts'
import { unavailable } from './fault.ts'

/** Groups under way: one is on its way while another is being committed. */
const mostGroups = 2
/** Writes of a group, and bytes of their values; a larger one goes alone. */
const mostWrites = 32
const mostBytes = 262_144
/** A group that waits for somebody's lock holds up the others for so many ms. */
const longestHold = 50

export interface Write extends Call {
  /** Of the entry. Every server locks those of a group in this order. */
  readonly place: string
  readonly bytes: number
}

export interface GroupCommitParts {
  readonly clock: Clock
  /** Writes that may wait; more are refused. */
  readonly queue: number
  /**
   * Runs them as one transaction and resolves with what each gave, or with the error for which the
   * database has undone them all. Rejects where there was no connection, or no answer.
   */
  commit(writes: readonly Call[]): Promise<readonly Row[][] | HandfastError>
}

interface Waiting {
  readonly write: Write
  resolve(row: Row | undefined): void
  reject(error: unknown): void
}

/**
 * Group commit: writes that come while others are under way go out together, as one transaction.
 * What a commit costs, which is most of what a write costs, they share; the more there are the
 * larger the groups. A write that makes a group fail is nobody else's fault: all of it has been
 * undone, and each is tried alone.
 */
export class GroupCommit {
  readonly #parts: GroupCommitParts
  #waiting: Waiting[] = []
  #underWay = 0
  #isDue = false
  #hold: Timer | undefined

  constructor(parts: GroupCommitParts) {
    this.#parts = parts
  }

  /** Resolves with the row that it gave, when it is committed. */
  write(write: Write): Promise<Row | undefined> {
    const { queue } = this.#parts
    if (this.#waiting.length >= queue) {
      return Promise.reject(unavailable(`${queue} writes wait already`))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ write, resolve, reject })
      this.#startSoon()
    })
  }

  /** Those that wait go out at once. */
  close(): void {
    while (this.#waiting.length > 0) this.#start()
    this.#hold?.cancel()
  }

  /** When all that came in with this turn of the loop has said what it writes. */
  #startSoon(): void {
    if (this.#isDue) return
    if (this.#underWay >= mostGroups) {
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
    this.#underWay += 1
    void this.#run(group).finally(() => {
      this.#underWay -= 1
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

  async #run(group: readonly Waiting[]): Promise<void> {
    try {
      const rows = await this.#parts.commit(group.map(({ write }) => write))
      if (!(rows instanceof HandfastError)) {
        for (const [at, { resolve }] of group.entries()) resolve(rows[at]?.[0])
      } else if (group.length > 1) {
        await Promise.all(group.map(one => this.#run([one])))
      } else group[0]?.reject(rows)
    } catch (error) {
      for (const { reject } of group) reject(error)
    }
  }
}

function byPlace({ write: one }: Waiting, { write: other }: Waiting): number {
  return one.place < other.place ? -1 : one.place > other.place ? 1 : 0
}
