import type { ServerResponse } from 'node:http'
import type { Clock, Timer } from '../clock.ts'

export interface EventsOptions {
  readonly clock: Clock
  /** What a new listener is told first, by name of the event. */
  readonly history: () => object
  readonly status: () => Promise<object>
}

/** A browser opens six to one host; so many pages may look on. */
const mostListeners = 32
/** One that has not read so much is let go; it comes back when it can. Bytes. */
const mostUnread = 1024 * 1024
const interval = 1_000
/** When a listener that was let go should come again, ms. */
const retry = 3_000

/**
 * Server-sent events (HTML Living Standard, 9.2): the status, once a second, to all who listen.
 * While nobody does, nothing is done.
 */
export class Events {
  readonly #options: EventsOptions
  readonly #listeners = new Set<ServerResponse>()
  #timer: Timer | undefined
  #isRunning = false
  #closed = false

  constructor(options: EventsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#listeners.size
  }

  /** The oldest makes room for a new one: else those that forgot to go would keep others out. */
  listen(response: ServerResponse): void {
    if (this.#closed) {
      response.destroy()
      return
    }
    if (this.#listeners.size >= mostListeners) {
      const [oldest] = this.#listeners
      oldest?.destroy()
      if (oldest !== undefined) this.#listeners.delete(oldest)
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.on('close', () => this.#listeners.delete(response))
    response.on('error', () => response.destroy())
    response.write(`retry: ${retry}\n\n${eventText('history', this.#options.history())}`)
    this.#listeners.add(response)
    if (this.#isRunning) return
    this.#isRunning = true
    void this.#tick()
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    for (const listener of this.#listeners) listener.destroy()
  }

  /** The next one comes when this one is done: a host that is slow to answer is asked once. */
  async #tick(): Promise<void> {
    if (this.#listeners.size === 0 || this.#closed) {
      this.#isRunning = false
      return
    }
    try {
      this.#send(eventText('status', await this.#options.status()))
    } catch {
      // The farm is closing; whoever listens sees that it hears nothing.
    }
    this.#timer = this.#options.clock.after(interval, () => void this.#tick())
  }

  #send(text: string): void {
    for (const listener of this.#listeners) {
      if (listener.writableLength > mostUnread) listener.destroy()
      else listener.write(text)
    }
  }
}

/** JSON has no line of its own end. */
function eventText(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}
