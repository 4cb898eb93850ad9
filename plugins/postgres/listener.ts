import type { Clock, Timer } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { type FeedReceiver, mostSilence } from '../../lib/state/feed/feed-receiver.ts'
import type { Listening, Pool } from './pool.ts'

/** Milliseconds until it is tried again, doubled while it fails. */
const firstPause = 100
const longestPause = 5_000

export interface ListenerParts {
  readonly pool: Pool
  readonly channel: string
  readonly clock: Clock
  readonly log: Log
  readonly receiver: FeedReceiver
}

/** A connection that LISTENs, and is made anew when it ends. */
export class Listener {
  readonly #parts: ListenerParts
  readonly #receiver: FeedReceiver
  #listening: Listening | undefined
  #timer: Timer | undefined
  #pause = firstPause
  #closed = false

  constructor(parts: ListenerParts) {
    this.#parts = parts
    this.#receiver = parts.receiver
    void this.#connect()
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#listening?.close()
  }

  async #connect(): Promise<void> {
    const { pool, channel, clock, log } = this.#parts
    try {
      this.#listening = await pool.listen(
        channel,
        payload => this.#receiver.receive(Buffer.from(payload, 'base64')),
        () => this.#lost(),
      )
    } catch (error) {
      log.debug({ error: String(error) }, 'can not listen to changes of others')
      this.#tryAgain()
      return
    }
    if (this.#closed) return this.#listening.close()
    this.#pause = firstPause
    this.#receiver.connected()
    this.#timer = clock.after(mostSilence, () => this.#checkSilence())
  }

  #checkSilence(): void {
    const left = mostSilence - this.#receiver.silentFor
    if (left <= 0) this.#listening?.close()
    else this.#timer = this.#parts.clock.after(left, () => this.#checkSilence())
  }

  #lost(): void {
    this.#listening = undefined
    if (this.#closed) return
    this.#parts.log.warn(
      {},
      'changes by other servers are not heard until it listens again',
    )
    this.#receiver.disconnected()
    this.#tryAgain()
  }

  #tryAgain(): void {
    if (this.#closed) return
    this.#timer?.cancel()
    this.#timer = this.#parts.clock.after(this.#pause, () => void this.#connect())
    this.#pause = Math.min(longestPause, 2 * this.#pause)
  }
}
