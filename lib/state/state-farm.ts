import type { Cache } from '../cache/cache.ts'
import type { Log } from '../log.ts'

/** A farm, as far as state needs one. */
export interface StateFarm {
  readonly name: string
  /** Undefined in a farm of one. */
  readonly address: string | undefined
  /** @internal */
  readonly forState: FarmForState
}

/** What a farm gives to the state on top of it. */
export interface FarmForState {
  readonly cache: Cache
  readonly log: Log
  /** The farm's time in ms: never behind what another member wrote. */
  readonly now: () => number
  /** 32 bytes; undefined where the farm's secret is one that it drew for itself. */
  readonly key: Buffer | undefined
}
