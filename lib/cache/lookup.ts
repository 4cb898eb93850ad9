import type { Clock } from '../clock.ts'
import type { TableId } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import type { Source, Tier } from './tier.ts'

export interface LookupParts {
  readonly clock: Clock
  /** The nearest first. */
  readonly tiers: readonly Tier[]
  /** Takes what was found. True when it was news. */
  apply(record: CacheRecord): boolean
}

/** A question under way. */
export interface Flight {
  /** Where a record was found, if anywhere; it has been applied. */
  readonly landed: Promise<Source | undefined>
  /** Monotonic time at which its patience ends. */
  readonly endsAt: number
}

/**
 * Looks for records that are not here, in one tier after the other. Many askers of one key cost
 * one question; what a farther tier has is kept in the nearer ones too.
 */
export class Lookup {
  readonly #parts: LookupParts
  readonly #flights = new Map<string, Flight>()

  constructor(parts: LookupParts) {
    this.#parts = parts
  }

  /** For at most `budget` ms. */
  ask(table: TableId, key: Buffer, budget: number): Flight {
    const name = `${table}:${key.toString('latin1')}`
    const endsAt = this.#parts.clock.monotonic() + budget
    const flying = this.#flights.get(name)
    // One that may outlast this asker's patience is of no use to it.
    if (flying !== undefined && flying.endsAt <= endsAt) return flying
    const landed = this.#fly(table, Buffer.from(key), budget, endsAt).finally(() => {
      if (this.#flights.get(name) === flight) this.#flights.delete(name)
    })
    const flight = { landed, endsAt }
    this.#flights.set(name, flight)
    return flight
  }

  async #fly(
    table: TableId,
    key: Buffer,
    budget: number,
    endsAt: number,
  ): Promise<Source | undefined> {
    const { clock, tiers, apply } = this.#parts
    let left = budget
    for (const [distance, tier] of tiers.entries()) {
      const record = await tier.get(table, key, left)
      if (record !== undefined) {
        if (apply(record)) {
          for (const nearer of tiers.slice(0, distance))
            void nearer.put(record, 'local', 0)
        }
        return tier.source
      }
      left = endsAt - clock.monotonic()
      if (left <= 0) return undefined
    }
    return undefined
  }
}
