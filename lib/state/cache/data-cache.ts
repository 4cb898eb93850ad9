/**
 * What a server remembers of a database, so that a read need not go there (seed 002, Fig 3: the
 * data cache). It knows versions, and nothing else of what values mean.
 *
 * The larger version stays, whatever comes in which order: a value that was loaded before another
 * server wrote, and arrives after it, changes nothing. Of what is known to be old or deleted, a
 * *floor* stays, a version with no value: what is below it is not the newest.
 */
export interface DataCache {
  /** What is known of the key, at once; a floor too. */
  read(table: string, key: string): Cached | undefined
  /**
   * Keeps it unless something newer is there. True when every server that reads from this cache
   * and can be reached has this or something newer, within `budget` ms.
   */
  put(table: string, key: string, cached: Cached, budget: number): Promise<boolean>
  /** The same, for this server alone: nothing that others need to know. */
  keep(table: string, key: string, cached: Cached): void
  /** Called with every change that came from another server. Returns the way to stop it. */
  watch(changed: (table: string, key: string, version: bigint) => void): () => void
  /**
   * True when all that other servers had put here before they told anybody is here. Undefined
   * where others don't put anything here.
   */
  isCurrent(): boolean | undefined
  /** Wall time in milliseconds, no earlier than that of what is here. */
  now(): number
  close(): void
}

export interface Cached {
  readonly version: bigint
  /** Undefined: a floor. */
  readonly value: Buffer | undefined
  /** When the entry itself ends, ms; undefined: never. */
  readonly expiresAt: number | undefined
  /** It was the newest no earlier than then, ms. */
  readonly asOf: number
}

export type CachedValue = Cached & { readonly value: Buffer }

export function isValue(cached: Cached | undefined): cached is CachedValue {
  return cached?.value !== undefined
}

export function floorAt(version: bigint, asOf: number): Cached {
  return { version, value: undefined, expiresAt: undefined, asOf }
}

/** How long anything is remembered, ms: what old values are good for while no database answers. */
export const longestMemory = 600_000
/** A floor outlives the values that it is there to tell from new ones, by clocks that differ. */
export const floorMemory: number = longestMemory + 60_000

/** Whether `cached` takes the place of `old`. */
export function replaces(cached: Cached, old: Cached): boolean {
  if (cached.version !== old.version) return cached.version > old.version
  if (cached.value === undefined) return false
  return old.value === undefined || cached.asOf > old.asOf
}
