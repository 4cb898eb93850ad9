import type { Clock } from '../clock.ts'
import type { TableId } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import type { FoundRecord, Source, Tier } from './tier.ts'

export interface LookupParts {
  readonly clock: Clock
  /** The nearest first. */
  readonly tiers: readonly Tier[]
  /** Takes what was found. True when it was news. */
  apply(record: CacheRecord): boolean
}

/** A question under way. */
export interface Flight {
  /** The record, if it was found anywhere; it has been applied. */
  readonly landed: Promise<Landed | undefined>
  /** Monotonic time at which its patience ends. */
  readonly endsAt: number
}

export interface Landed extends FoundRecord {
  readonly source: Source
}

/**
 * Looks for records that are not here, in one tier after the other. Many askers of one key cost
 * one question; what a farther tier has is kept in the nearer ones too. Each tier is waited for
 * as long as leaves as much time for each of those behind it.
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
    const landed = this.#fly(table, Buffer.from(key), endsAt).finally(() => {
      if (this.#flights.get(name) === flight) this.#flights.delete(name)
    })
    const flight = { landed, endsAt }
    this.#flights.set(name, flight)
    return flight
  }

  async #fly(table: TableId, key: Buffer, endsAt: number): Promise<Landed | undefined> {
    const { clock, tiers, apply } = this.#parts
    for (const [distance, tier] of tiers.entries()) {
      const left = endsAt - clock.monotonic()
      if (left <= 0) return undefined
      const record = await tier.get(table, key, left / (tiers.length - distance))
      if (record === undefined) continue
      // Those that other members write to hear of it from whoever wrote it.
      if (apply(record))
        for (const nearer of tiers.slice(0, distance))
          if (nearer.isOwn === true) void nearer.put(record, 'local', 0)
      return { ...record, source: record.source ?? tier.source }
    }
    return undefined
  }
}
