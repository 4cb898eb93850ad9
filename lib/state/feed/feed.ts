import type { ChangeWatcher, EndMove } from '../database.ts'
import { FeedReceiver } from './feed-receiver.ts'
import { FeedSender, type FeedSenderParts, type ToldChange } from './feed-sender.ts'

export interface FeedParts extends FeedSenderParts {
  /**
   * Gives the receiver what anybody publishes, tells it when the connection is there and when it
   * was lost, and makes another one, until it is closed.
   */
  listen(receiver: FeedReceiver): Listener
}

export interface Listener {
  close(): void
}

/**
 * The change feed of a database that can pass messages on: servers tell each other through it
 * which entries they have changed. Whoever listens does so until the feed is closed.
 */
export class Feed {
  readonly #parts: FeedParts
  readonly #sender: FeedSender
  readonly #stops = new Set<() => void>()

  constructor(parts: FeedParts) {
    this.#parts = parts
    this.#sender = new FeedSender(parts)
  }

  /** Rejects where the database can't be told, so that nobody would miss what it isn't. */
  open(): Promise<void> {
    return this.#sender.open()
  }

  /** Makes a change and tells of it; see FeedSender. */
  tell(
    change: ToldChange,
    make: () => Promise<bigint | undefined>,
  ): Promise<bigint | undefined> {
    return this.#sender.tell(change, make)
  }

  /** The same of the end of an entry. */
  tellEnd(
    table: string,
    key: string,
    move: () => Promise<EndMove | undefined>,
  ): Promise<EndMove | undefined> {
    return this.#sender.tellEnd(table, key, move)
  }

  /** What other servers tell, until the answer is called. */
  watch(watcher: ChangeWatcher): () => void {
    const { key, clock } = this.#parts
    const receiver = new FeedReceiver({ key, clock, self: this.#sender.name, watcher })
    const listener = this.#parts.listen(receiver)
    const stop = () => {
      this.#stops.delete(stop)
      listener.close()
      receiver.close()
    }
    this.#stops.add(stop)
    return stop
  }

  /** Nobody hears any more; what was being made is told before it leaves. */
  async close(): Promise<void> {
    for (const stop of this.#stops) stop()
    await this.#sender.close()
  }
}
