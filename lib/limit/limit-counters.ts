import { plainHost } from '../address.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import { LogLimiter } from './log-limiter.ts'

/**
 * How often each limit was met, by the name of its option. Of each a line goes into the log,
 * not more often than the log can bear: it is strangers who make us write it.
 */
export class LimitCounters {
  readonly #clock: Clock
  readonly #log: Log
  readonly #counts = new Map<string, { count: number; readonly lines: LogLimiter }>()

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /** `client`: address or network of whoever met it. */
  met(limit: string, client: string | undefined): void {
    let entry = this.#counts.get(limit)
    if (entry === undefined) {
      entry = { count: 0, lines: new LogLimiter(this.#clock) }
      this.#counts.set(limit, entry)
    }
    entry.count += 1
    entry.lines.log(heldBack => {
      const more = heldBack > 0 ? { heldBack } : {}
      const who = client === undefined ? undefined : plainHost(client)
      this.#log.warn({ limit, client: who, ...more }, 'a limit was met')
    })
  }

  snapshot(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      [...this.#counts].map(([limit, { count }]) => [limit, count]),
    )
  }
}
