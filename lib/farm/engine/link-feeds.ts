import type { EngineContext } from './engine-context.ts'

/** Bytes that a link is given before it has to say that its socket has taken them. */
const room = 256 * 1024

interface Feed {
  /** The last that was sent. */
  sent: number
  room: number
}

/**
 * What each member gets over its link: our data in order, from where it asks on, as fast as its
 * socket takes them. What the ring has dropped meanwhile it has to fetch with the table.
 */
export class LinkFeeds {
  readonly #context: EngineContext
  /** Of those whose link stands and who have introduced themselves. */
  readonly #feeds = new Map<string, Feed>()

  constructor(context: EngineContext) {
    this.#context = context
  }

  /** `last`: up to where we have written, as the member was told when its link came up. */
  begin(to: string, last: number): void {
    this.#feeds.set(to, { sent: last, room })
    this.#flush(to)
  }

  /** The link has ended, and what it had not brought is lost. */
  end(to: string): void {
    this.#feeds.delete(to)
  }

  /** The member lacks what is behind that number. */
  rewind(to: string, after: number): void {
    const feed = this.#feeds.get(to)
    if (feed === undefined || after > this.#context.sender.last) return
    feed.sent = after
    this.#flush(to)
  }

  drained(to: string): void {
    const feed = this.#feeds.get(to)
    if (feed === undefined) return
    feed.room = room
    this.#flush(to)
  }

  flush(): void {
    for (const to of this.#feeds.keys()) this.#flush(to)
  }

  #flush(to: string): void {
    const { sender, outlet } = this.#context
    const feed = this.#feeds.get(to)
    while (feed !== undefined && feed.sent < sender.last && feed.room > 0) {
      if (feed.sent + 1 < sender.tail) {
        outlet.message(to, { type: 'gone', tail: sender.tail })
        feed.sent = sender.tail - 1
        continue
      }
      feed.sent += 1
      const message = sender.ring.get(feed.sent)
      if (message === undefined) continue
      feed.room -= message.length
      const drains = feed.room <= 0
      outlet.push({ kind: 'message', to, message, spare: false, drains })
    }
  }
}
