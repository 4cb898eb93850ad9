import type { Clock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Database } from './database.ts'

/** Between two tries, ms: the first pause, and the longest. */
const firstPause = 100
const longestPause = 2_000

export interface OpeningTerms {
  readonly clock: Clock
  readonly log: Log
  /** For so many milliseconds one that does not answer is asked again. */
  readonly budget: number
}

/**
 * Opens a database that may not be there yet: where all of a farm is started at once, as after a
 * loss of power, servers are often up before it. What no time mends (ERR_HANDFAST_CONFIG,
 * ERR_HANDFAST_SCHEMA) rejects at once. Where it rejects, the database is closed.
 */
export async function openDatabase(
  database: Database,
  { clock, log, budget }: OpeningTerms,
): Promise<void> {
  const endsAt = clock.monotonic() + budget
  // Timers of the clock don't keep a process that has nothing else to do yet.
  const stay = setInterval(() => {}, 60_000)
  try {
    for (let pause = firstPause; ; pause = Math.min(2 * pause, longestPause)) {
      const fault = await tryToOpen(database)
      if (fault === undefined) return
      const left = endsAt - clock.monotonic()
      if (!isAway(fault.error) || left <= 0) throw fault.error
      if (pause === firstPause) {
        const reason = (fault.error as HandfastError).message
        const told = { database: database.name, reason, budget }
        log.warn(told, 'the database does not answer yet, it is asked again')
      }
      await new Promise<void>(resolve => {
        clock.after(Math.min(pause, left), resolve)
      })
    }
  } catch (error) {
    // Else one that looks for its server would go on for good.
    await database.close().catch(() => {})
    throw error
  } finally {
    clearInterval(stay)
  }
}

async function tryToOpen(
  database: Database,
): Promise<{ readonly error: unknown } | undefined> {
  try {
    await database.open()
    return undefined
  } catch (error) {
    return { error }
  }
}

function isAway(error: unknown): boolean {
  return error instanceof HandfastError && error.code === 'ERR_HANDFAST_DATABASE'
}
