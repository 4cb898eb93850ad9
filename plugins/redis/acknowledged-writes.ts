import type { Clock } from '../../lib/clock.ts'
import { type Command, RedisUnreachable, type Reply } from './client.ts'
import type { Line } from './line.ts'
import { run, type Script } from './script.ts'

const mostWaiting = 4_096
const mostAtOnce = 256
/** Longest WAIT, ms: it holds up those who come after it. */
const longestWait = 1_000
/** As long as no replica has been seen, it is asked for them so often, ms. */
const askInterval = 1_000

export interface Written {
  readonly reply: Reply
  /** As many replicas as are asked for have it. */
  readonly isAcknowledged: boolean
}

interface Write {
  readonly script: Script
  readonly keys: readonly string[]
  readonly values: Command
  readonly asking: boolean
  readonly endsAt: number
  resolve(written: Written): void
  reject(error: unknown): void
}

/**
 * Writes that replicas must have before they count. WAIT is about all that its connection has
 * written, and holds up whatever comes after it; so these have a connection of their own, and
 * those that come while one WAIT is under way share the next.
 */
export class AcknowledgedWrites {
  readonly #line: Line
  readonly #clock: Clock
  readonly #required: () => number | undefined
  readonly #onReplicas: () => void
  readonly #waiting: Write[] = []
  #isBusy = false
  #askedAt = Number.NEGATIVE_INFINITY

  /**
   * `required`: replicas, undefined as long as none has been seen; `onReplicas` is told when one
   * is.
   */
  constructor(
    line: Line,
    clock: Clock,
    required: () => number | undefined,
    onReplicas: () => void,
  ) {
    this.#line = line
    this.#clock = clock
    this.#required = required
    this.#onReplicas = onReplicas
  }

  write(
    script: Script,
    keys: readonly string[],
    values: Command,
    { endsAt, asking }: { endsAt: number; asking: boolean },
  ): Promise<Written> {
    if (this.#waiting.length >= mostWaiting) {
      return Promise.reject(new RedisUnreachable(undefined, 'too many writes under way'))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ script, keys, values, asking, endsAt, resolve, reject })
      void this.#pump()
    })
  }

  async #pump(): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, mostAtOnce)
      try {
        await this.#writeAll(batch)
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#isBusy = false
  }

  #isToAsk(): boolean {
    const now = this.#clock.monotonic()
    if (this.#required() !== undefined || now < this.#askedAt + askInterval) return false
    this.#askedAt = now
    return true
  }

  async #writeAll(batch: readonly Write[]): Promise<void> {
    const endsAt = Math.max(...batch.map(write => write.endsAt))
    // Less than there is, or nobody would hear that it was not enough.
    const left = () => Math.max(1, Math.floor(0.7 * (endsAt - this.#clock.monotonic())))
    const connection = await this.#line.ready(left())
    const wait = Math.min(longestWait, left())
    // Before our writes: replicas that have what came before them. It is awaited later, and must
    // not be a refusal that nobody handles meanwhile.
    const before = this.#isToAsk()
      ? connection.call(['WAIT', '0', '0']).catch(() => 0)
      : 0
    const done = batch.map(({ script, keys, values, asking }) =>
      run(connection, script, keys, values, asking),
    )
    const replies = await Promise.allSettled(done)
    if (((await before) as number) > 0) this.#onReplicas()
    const replicas = this.#required() ?? 0
    const have =
      replicas === 0
        ? 0
        : await connection.call(['WAIT', String(replicas), String(wait)], wait)
    const isAcknowledged = (have as number) >= replicas
    for (const [at, reply] of replies.entries()) {
      const write = batch[at]
      if (reply.status === 'rejected') write?.reject(reply.reason)
      else write?.resolve({ reply: reply.value, isAcknowledged })
    }
  }
}
