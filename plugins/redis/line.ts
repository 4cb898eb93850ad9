import type { Clock, Timer } from '../../lib/clock.ts'
import { type Connection, RedisUnreachable } from './client.ts'

const firstPause = 50
const longestPause = 2_000

export interface LineParts {
  readonly clock: Clock
  /** Makes a connection, or rejects. */
  open(): Promise<Connection>
  /** There was one and it is gone, or none could be made. */
  onDown(error: unknown): void
}

/**
 * A connection that is made anew when it is lost, at once and then with pauses that grow to two
 * seconds, so that a server that comes back is not met by everybody together.
 */
export class Line {
  readonly #parts: LineParts
  readonly #waiting = new Set<(connection: Connection | undefined) => void>()
  #connection: Connection | undefined
  #pause = firstPause
  #timer: Timer | undefined
  #closed = false

  constructor(parts: LineParts) {
    this.#parts = parts
    void this.#connect()
  }

  get connection(): Connection | undefined {
    return this.#connection
  }

  /** Rejects with RedisUnreachable when there is none within `budget` ms, or ever. */
  ready(budget: number): Promise<Connection> {
    if (this.#connection !== undefined) return Promise.resolve(this.#connection)
    if (this.#closed) return Promise.reject(closed())
    return new Promise((resolve, reject) => {
      const end = (connection: Connection | undefined): void => {
        timer.cancel()
        this.#waiting.delete(end)
        if (connection === undefined) reject(closed())
        else resolve(connection)
      }
      const timer = this.#parts.clock.after(budget, () => {
        this.#waiting.delete(end)
        reject(new RedisUnreachable(undefined, 'no connection in time'))
      })
      this.#waiting.add(end)
    })
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#connection?.close()
    for (const end of this.#waiting) end(undefined)
  }

  async #connect(): Promise<void> {
    try {
      const connection = await this.#parts.open()
      if (this.#closed) return connection.close()
      this.#connection = connection
      this.#pause = firstPause
      for (const end of this.#waiting) end(connection)
      connection.onEnd(() => {
        this.#connection = undefined
        this.#again(new RedisUnreachable(connection.address, 'the connection was lost'))
      })
    } catch (error) {
      this.#again(error)
    }
  }

  #again(error: unknown): void {
    if (this.#closed) return
    // Between half and all of it.
    const pause = this.#pause * (0.5 + Math.random() / 2)
    this.#pause = Math.min(2 * this.#pause, longestPause)
    this.#timer = this.#parts.clock.after(pause, () => void this.#connect())
    this.#parts.onDown(error)
  }
}

function closed(): RedisUnreachable {
  return new RedisUnreachable(undefined, 'this node is no longer in use')
}
