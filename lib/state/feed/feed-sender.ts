import { randomBytes } from 'node:crypto'
import type { Clock, Timer } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { EndMove } from '../database.ts'
import {
  type Change,
  changeLength,
  FeedKeys,
  type FeedKind,
  feedOverhead,
  feedSenderLength,
  sealFeedMessage,
} from './feed-message.ts'

/** Changes within so many milliseconds go out together. */
const gather = 10
/** Milliseconds between two messages at most: whoever is silent for longer is missed. */
export const heartbeat = 1_000
/** Changes that wait; what comes beyond them is told as `everything`. */
const mostWaiting = 10_000

export interface FeedSenderParts {
  readonly key: Buffer
  readonly clock: Clock
  /** The most that a message may have. */
  readonly maxBytes: number
  /** Resolves when the database has it. */
  publish(message: Buffer): Promise<unknown>
}

/** A change that is about to be made. */
export interface ToldChange {
  readonly table: string
  readonly key: string
  /** The largest version that may be outdated then; undefined for any. */
  readonly before: bigint | undefined
  /** The version that the change resolves with is there no more. Default: it is the new one. */
  readonly removes?: boolean
}

/** What is told of something that was made, and of what may have been. */
interface Telling<T> {
  made(answer: T): Change | undefined
  readonly unknown: Change | 'everything'
}

/**
 * Tells the other servers what this one has changed, after it was stored. Telling them in the
 * transaction that stores would make every commit wait for every other (PostgreSQL holds one lock
 * for its whole cluster from NOTIFY to the end of a commit); so the changes of some milliseconds
 * go together, numbered, with a heartbeat, and who stops without a word is missed by the others.
 */
export class FeedSender {
  /** Hex; new at each start. */
  readonly name: string = randomBytes(feedSenderLength).toString('hex')
  readonly #parts: FeedSenderParts
  readonly #keys: FeedKeys
  /** Changes that are being made. */
  readonly #making = new Set<Promise<unknown>>()
  #waiting: Change[] = []
  #everything = false
  #sequence = 0n
  #timer: Timer | undefined
  #sending: Promise<void> | undefined
  #closed = false

  constructor(parts: FeedSenderParts) {
    this.#parts = parts
    this.#keys = new FeedKeys(parts.key)
  }

  /** The first message: nobody would miss one of whom nobody had heard. */
  async open(): Promise<void> {
    await this.#publish('changes', [])
    this.#sendAfter(heartbeat)
  }

  /** Makes a change and tells of it, also where nobody knows whether it was made. */
  tell(
    { table, key, before, removes = false }: ToldChange,
    make: () => Promise<bigint | undefined>,
  ): Promise<bigint | undefined> {
    return this.#tell(make, {
      made: version => ({ table, key, floor: removes ? version + 1n : version }),
      unknown: before === undefined ? 'everything' : { table, key, floor: before + 1n },
    })
  }

  /** Moves the end of an entry, and tells of one that is earlier. */
  tellEnd(
    table: string,
    key: string,
    move: () => Promise<EndMove | undefined>,
  ): Promise<EndMove | undefined> {
    const change = { table, key, floor: 0n }
    return this.#tell(move, {
      made: moved => (moved === 'earlier' ? change : undefined),
      unknown: change,
    })
  }

  async #tell<T>(
    make: () => Promise<T | undefined>,
    { made: changeOf, unknown }: Telling<T>,
  ): Promise<T | undefined> {
    const making = make()
    this.#making.add(making)
    try {
      const made = await making
      const change = made === undefined ? undefined : changeOf(made)
      if (change !== undefined) this.announce(change)
      return made
    } catch (error) {
      if (isUnknown(error)) this.announce(unknown)
      throw error
    } finally {
      this.#making.delete(making)
    }
  }

  /** `everything`: nobody knows what was changed. */
  announce(change: Change | 'everything'): void {
    if (this.#closed) return
    const first = this.#waiting.length === 0 && !this.#everything
    if (change === 'everything') this.#tellEverything()
    else this.#add(change)
    if (first && this.#sending === undefined) this.#sendAfter(gather)
  }

  /** What is being made is told before. */
  async close(): Promise<void> {
    if (this.#closed) return
    while (this.#making.size > 0) await Promise.allSettled(this.#making)
    this.#closed = true
    this.#timer?.cancel()
    await this.#sending
    await this.#send()
    // Who can't say so is missed.
    await this.#publish('leaving', []).catch(() => {})
  }

  #add(change: Change): void {
    if (this.#everything) return
    const length = changeLength(change)
    const fits = length !== undefined && feedOverhead + length <= this.#parts.maxBytes
    if (fits && this.#waiting.length < mostWaiting) this.#waiting.push(change)
    else this.#tellEverything()
  }

  #tellEverything(): void {
    this.#everything = true
    this.#waiting = []
  }

  #sendAfter(ms: number): void {
    this.#timer?.cancel()
    this.#timer = this.#parts.clock.after(ms, () => void this.#send())
  }

  async #send(): Promise<void> {
    this.#sending = this.#sendAll()
    await this.#sending
    this.#sending = undefined
    if (!this.#closed) this.#sendAfter(this.#waiting.length > 0 ? gather : heartbeat)
  }

  /** All that waits, one message after the other. */
  async #sendAll(): Promise<void> {
    do {
      const kind = this.#everything ? 'everything' : 'changes'
      const changes = this.#take()
      this.#everything = false
      try {
        await this.#publish(kind, changes)
      } catch {
        // It may have arrived or not.
        return this.#tellEverything()
      }
    } while (this.#waiting.length > 0)
  }

  /** As many as a message can have. */
  #take(): Change[] {
    let bytes = feedOverhead
    let count = 0
    for (const change of this.#waiting) {
      bytes += changeLength(change) ?? 0
      if (bytes > this.#parts.maxBytes) break
      count++
    }
    return this.#waiting.splice(0, count)
  }

  async #publish(kind: FeedKind, changes: readonly Change[]): Promise<void> {
    this.#sequence++
    const message = { sender: this.name, sequence: this.#sequence, kind, changes }
    await this.#parts.publish(sealFeedMessage(this.#keys, message))
  }
}

function isUnknown(error: unknown): boolean {
  return error instanceof HandfastError && error.code === 'ERR_HANDFAST_OUTCOME_UNKNOWN'
}
