import { tables } from '../../lib/record/key.ts'
import type { RecordSealer } from '../../lib/record/record-sealer.ts'
import { sealedNameLength } from '../../lib/record/record-sealer.ts'

/**
 * Where records lie. TLS sessions are many, large and asked for by whoever needs one:
 *
 *      PREFIX:FARM:NAME                 string, ends with the session
 *
 * All else every host is to have, so that it lies together, in eight parts by a byte of its name.
 * The keys of one part are in one slot, for a script changes all three in one step. They have no
 * end of their own, so that a server that is to evict what ends keeps revocations.
 *
 *      PREFIX:{FARM.0}:records          hash, sealed records by their names
 *      PREFIX:{FARM.0}:ends             sorted set, when they end, ms
 *      PREFIX:{FARM.0}:log              stream of the last few thousand changes
 *
 * For a moment while a host starts there is a part called `trial`, and a key beside it.
 *
 * FARM is drawn from the secret and the name of the farm, as the names of records are: farms that
 * share a server do not meet.
 */
export const partCount = 8

export interface PartKeys {
  readonly records: string
  readonly ends: string
  readonly log: string
}

export class Places {
  readonly parts: readonly PartKeys[]
  /** For what is tried: no host looks here. */
  readonly trial: PartKeys
  readonly trialKey: string
  readonly #sealer: RecordSealer
  readonly #sessions: string

  constructor(prefix: string, sealer: RecordSealer) {
    this.#sealer = sealer
    const farm = sealer.name(tables.farm, Buffer.from('redis')).toString('hex', 1, 9)
    this.#sessions = `${prefix}:${farm}:`
    const part = (name: number | string): PartKeys => {
      const start = `${prefix}:{${farm}.${name}}:`
      return { records: `${start}records`, ends: `${start}ends`, log: `${start}log` }
    }
    this.parts = Array.from({ length: partCount }, (_, number) => part(number))
    this.trial = part('trial')
    this.trialKey = `${this.#sessions}trial`
  }

  /** The part that has what is called so, undefined for what has a key of its own. */
  partOf(name: Buffer): PartKeys | undefined {
    if (name[0] === tables.session || name.length !== sealedNameLength) return undefined
    return this.parts[(name[1] ?? 0) % partCount]
  }

  keyOf(name: Buffer): string {
    return this.#sessions + name.toString('base64url')
  }

  name(...record: Parameters<RecordSealer['name']>): Buffer {
    return this.#sealer.name(...record)
  }
}
