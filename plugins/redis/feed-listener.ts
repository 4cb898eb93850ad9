import type { Clock, Timer } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { type FeedReceiver, mostSilence } from '../../lib/state/feed/feed-receiver.ts'
import type { Connection, Reply } from './client.ts'
import type { Masters } from './masters.ts'

/** Longest wait in Redis for a message, ms. */
const block = 1_000
/** Messages in one answer. */
const atOnce = 128
const firstPause = 100
const longestPause = 2_000

export interface FeedListenerParts {
  readonly masters: Masters
  readonly stream: string
  readonly clock: Clock
  readonly log: Log
  readonly receiver: FeedReceiver
}

/** Reads the stream on which servers tell each other what they have changed. */
export class FeedListener {
  readonly #parts: FeedListenerParts
  readonly #receiver: FeedReceiver
  #timer: Timer | undefined
  #wake: (() => void) | undefined
  #closed = false

  constructor(parts: FeedListenerParts) {
    this.#parts = parts
    this.#receiver = parts.receiver
    void this.#run()
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#wake?.()
  }

  async #run(): Promise<void> {
    const { masters, stream, log } = this.#parts
    let pause = firstPause
    while (!this.#closed) {
      let isHearing = false
      try {
        const connection = await masters.listener(stream, 'state', block)
        let last = await this.#end(connection)
        if (this.#closed) return
        this.#receiver.connected()
        isHearing = true
        pause = firstPause
        while (!this.#closed && this.#receiver.silentFor < mostSilence) {
          last = await this.#read(connection, last)
        }
      } catch (error) {
        log.debug({ error: String(error) }, 'can not listen to changes of others')
        masters.noteRefusal(error)
      }
      if (this.#closed) return
      if (isHearing) this.#receiver.disconnected()
      await this.#pause(pause)
      pause = Math.min(2 * pause, longestPause)
    }
  }

  /** What comes behind it comes from now on. */
  async #end(connection: Connection): Promise<string> {
    const { stream } = this.#parts
    const reply = await connection.call(['XREVRANGE', stream, '+', '-', 'COUNT', '1'])
    return idOf(listOf(reply)[0]) ?? '0-0'
  }

  async #read(connection: Connection, last: string): Promise<string> {
    const command = ['XREAD', 'COUNT', String(atOnce), 'BLOCK', String(block)]
    const reply = await connection.call(
      [...command, 'STREAMS', this.#parts.stream, last],
      block,
    )
    let at = last
    for (const entry of listOf(listOf(listOf(reply)[0])[1])) {
      const [id, fields] = listOf(entry)
      const [, message] = listOf(fields)
      at = String(id)
      if (Buffer.isBuffer(message) && !this.#closed) this.#receiver.receive(message)
    }
    return at
  }

  #pause(ms: number): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
      this.#timer = this.#parts.clock.after(ms, resolve)
    })
  }
}

function idOf(entry: Reply | undefined): string | undefined {
  const [id] = listOf(entry)
  return id === undefined ? undefined : String(id)
}

function listOf(reply: Reply | undefined): readonly Reply[] {
  return Array.isArray(reply) ? (reply as readonly Reply[]) : []
}
