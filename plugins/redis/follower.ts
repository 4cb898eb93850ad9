import type { Clock, Timer } from '../../lib/clock.ts'
import { type Connection, RefusedByRedis, type Reply } from './client.ts'
import type { Masters } from './masters.ts'
import type { Part } from './part.ts'

/** Longest wait in Redis for a change, ms. */
const block = 1_000
/** Entries of each log in one answer. */
const atOnce = 128
/** From one comparison with the log to the next, ms. */
const checkInterval = 1_000
const firstPause = 100
const longestPause = 2_000

export interface FollowerParts {
  readonly name: string
  readonly parts: readonly Part[]
  readonly masters: Masters
  readonly clock: Clock
  /** A connection may say nothing for so long, ms. */
  readonly silence: number
  /** Redis may have lost what it was given. */
  lost(): void
  /** It says that we may not. */
  onRefusal(error: RefusedByRedis): void
  /** Some more is here than was. */
  onProgress(): void
}

/** Hears what changes in a few parts that one command can name, on a connection of its own. */
export class Follower {
  readonly #parts: FollowerParts
  #heardAt = Number.NEGATIVE_INFINITY
  #hasRead = false
  #checkedAt = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #wake: (() => void) | undefined
  #closed = false

  constructor(parts: FollowerParts) {
    this.#parts = parts
    void this.#run()
  }

  /** All that had been written is here, as of a few seconds ago. */
  isCurrent(): boolean {
    const { clock, parts, silence } = this.#parts
    const patience = block + silence
    return (
      clock.monotonic() - this.#heardAt <= patience &&
      parts.every(({ isWhole }) => isWhole)
    )
  }

  /** Redis has answered at least once what is new. */
  get hasRead(): boolean {
    return this.#hasRead
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#wake?.()
  }

  async #run(): Promise<void> {
    const { masters, parts, name, onRefusal } = this.#parts
    let pause = firstPause
    while (!this.#closed) {
      try {
        const key = parts[0]?.keys.log ?? ''
        const connection = await masters.listener(key, name, block)
        this.#checkedAt = Number.NEGATIVE_INFINITY
        // What is there is read at once, and is all there is when that is said.
        let isWaiting = false
        while (connection.isOpen && !this.#closed) {
          await this.#check()
          pause = firstPause
          isWaiting = await this.#read(connection, isWaiting)
        }
      } catch (error) {
        this.#heardAt = Number.NEGATIVE_INFINITY
        if (error instanceof RefusedByRedis && error.code === 'NOPERM') onRefusal(error)
        masters.noteRefusal(error)
      }
      if (this.#closed) return
      await this.#pause(pause)
      pause = Math.min(2 * pause, longestPause)
    }
  }

  async #check(): Promise<void> {
    const { clock, parts, lost, onProgress } = this.#parts
    const now = clock.monotonic()
    if (now - this.#checkedAt < checkInterval && parts.every(({ isWhole }) => isWhole))
      return
    for (const part of parts) {
      if (await part.check()) lost()
      onProgress()
    }
    this.#checkedAt = clock.monotonic()
  }

  /** True when all was read. */
  async #read(connection: Connection, isWaiting: boolean): Promise<boolean> {
    const { clock, parts, lost, onProgress } = this.#parts
    const began = clock.monotonic()
    const looks = parts.map(({ own }) => own.look())
    const reply = await connection.call(
      [
        ...['XREAD', 'COUNT', String(atOnce)],
        ...(isWaiting ? ['BLOCK', String(block)] : []),
        'STREAMS',
        ...parts.map(({ keys }) => keys.log),
        ...parts.map(({ heardUpTo }) => heardUpTo),
      ],
      block,
    )
    const unread = reply === null ? [] : await this.#take(reply)
    if (!this.#hasRead) {
      this.#hasRead = true
      onProgress()
    }
    const lacking = parts.filter(
      (part, at) => !unread.includes(part) && part.own.misses(looks[at] ?? 0),
    )
    if (lacking.length > 0) lost()
    // Redis waits with its answer until there is one; who does not would have us go in circles.
    const isHasty = isWaiting && clock.monotonic() - began < block / 2
    if (reply === null && isHasty) await this.#pause(firstPause)
    // The answer may have been long on its way: it tells of when it was asked for.
    if (unread.length === 0) this.#heardAt = began
    return unread.length === 0
  }

  /** [[log, entries], ...]; answers the parts of which there is more to read. */
  async #take(reply: Reply): Promise<Part[]> {
    const unread: Part[] = []
    if (!Array.isArray(reply)) throw new Error('no answer to XREAD')
    for (const item of reply as readonly Reply[]) {
      const [log, entries] = Array.isArray(item) ? (item as readonly Reply[]) : []
      const part = this.#parts.parts.find(({ keys }) => keys.log === String(log))
      if (part === undefined || entries === undefined) throw new Error('no log of ours')
      await part.take(entries)
      const isFull = Array.isArray(entries) && entries.length >= atOnce
      if (isFull || !part.isWhole) unread.push(part)
    }
    return unread
  }

  #pause(ms: number): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
      this.#timer = this.#parts.clock.after(ms, resolve)
    })
  }
}
