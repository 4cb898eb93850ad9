import type { Clock, Timer } from '../../clock.ts'
import type { ChangeWatcher } from '../database.ts'
import { FeedKeys, feedSenderLength, openFeedMessage } from './feed-message.ts'
import { heartbeat } from './feed-sender.ts'

/** A sender that is silent for so many milliseconds may have died with a change untold. */
const silence = 4 * heartbeat
/** The own heartbeat comes back; when it does not for so many ms, nobody is heard any more. */
export const mostSilence = 5_000

export interface FeedReceiverParts {
  readonly key: Buffer
  readonly clock: Clock
  /** Of the sender of this server, which need not hear itself. */
  readonly self: string
  readonly watcher: ChangeWatcher
}

interface Sender {
  sequence: bigint
  heardAt: number
}

/**
 * Hears what other servers have changed, and knows when it may have missed something: a gap in
 * the numbers of a sender, a sender that is silent, a connection that was lost.
 */
export class FeedReceiver {
  readonly #parts: FeedReceiverParts
  readonly #keys: FeedKeys
  readonly #self: Buffer
  readonly #senders = new Map<string, Sender>()
  #timer: Timer | undefined
  #heardAt: number
  #connectedAt: number
  #isConnected = false

  constructor(parts: FeedReceiverParts) {
    this.#parts = parts
    this.#keys = new FeedKeys(parts.key)
    this.#self = Buffer.from(parts.self, 'hex')
    this.#heardAt = parts.clock.monotonic()
    this.#connectedAt = this.#heardAt
    this.#watch()
  }

  /** Milliseconds since anything was heard; the own heartbeat counts. */
  get silentFor(): number {
    return this.#parts.clock.monotonic() - this.#heardAt
  }

  receive(bytes: Buffer): void {
    const { clock, watcher } = this.#parts
    // That it came is all that it tells.
    if (this.#isOwn(bytes)) {
      this.#heardAt = clock.monotonic()
      return
    }
    const message = openFeedMessage(this.#keys, bytes)
    if (message === undefined) return
    this.#heardAt = clock.monotonic()
    const { sender, sequence, kind, changes } = message
    const last = this.#senders.get(sender)?.sequence
    // A copy from before tells nothing new.
    if (last !== undefined && sequence <= last) return
    const isNext = last === undefined ? this.#isFirst(sequence) : sequence === last + 1n
    if (kind === 'leaving') this.#senders.delete(sender)
    else this.#senders.set(sender, { sequence, heardAt: this.#heardAt })
    if (kind === 'everything' || !isNext) {
      this.#missed()
      return
    }
    for (const { table, key, floor } of changes) {
      if (floor === 0n) watcher.shortened(table, key)
      else watcher.changed(table, key, floor)
    }
  }

  /** To be called when messages arrive from now on: at first, and after they did not. */
  connected(): void {
    this.#senders.clear()
    this.#heardAt = this.#parts.clock.monotonic()
    this.#connectedAt = this.#heardAt
    this.#isConnected = true
    this.#parts.watcher.heard()
  }

  disconnected(): void {
    this.#isConnected = false
    this.#parts.watcher.deaf()
  }

  close(): void {
    this.#timer?.cancel()
    this.#senders.clear()
  }

  #isOwn(bytes: Buffer): boolean {
    return this.#self.equals(bytes.subarray(0, feedSenderLength))
  }

  /** Who was there before this one listened says so soon; who says so later was silent. */
  #isFirst(sequence: bigint): boolean {
    return sequence === 1n || this.#heardAt - this.#connectedAt < silence
  }

  /** Something may have been: any change. */
  #missed(): void {
    this.#parts.watcher.deaf()
    this.#parts.watcher.heard()
  }

  #watch(): void {
    this.#timer = this.#parts.clock.after(heartbeat, () => {
      const since = this.#parts.clock.monotonic() - silence
      const silent = [...this.#senders].filter(([, { heardAt }]) => heardAt < since)
      for (const [name] of silent) this.#senders.delete(name)
      if (silent.length > 0 && this.#isConnected) this.#missed()
      this.#watch()
    })
  }
}
