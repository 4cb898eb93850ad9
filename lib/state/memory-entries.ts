import type { Stored } from './database.ts'

/** Each with some two hundred entries, where there are as many as memory has room for. */
const buckets = 4_096

/**
 * The entries of one table in memory, in buckets by their keys: what is in a bucket stays there, so
 * a walk over them can stop behind any and go on later, whatever came and went meanwhile.
 */
export class MemoryEntries {
  readonly #buckets: (Map<string, Stored> | undefined)[] = new Array(buckets).fill(
    undefined,
  )

  get(key: string): Stored | undefined {
    return this.#buckets[bucketOf(key)]?.get(key)
  }

  set(key: string, stored: Stored): void {
    const at = bucketOf(key)
    const bucket = this.#buckets[at] ?? new Map<string, Stored>()
    this.#buckets[at] = bucket
    bucket.set(key, stored)
  }

  /** True when it was there. */
  delete(key: string): boolean {
    return this.#buckets[bucketOf(key)]?.delete(key) ?? false
  }

  /** Whole buckets from `bucket` on, until `limit` keys are found; `next` is the one behind them. */
  keysFrom(
    bucket: number,
    limit: number,
  ): { readonly keys: readonly string[]; readonly next: number | undefined } {
    const keys: string[] = []
    let at = bucket
    for (; at < buckets && keys.length < limit; at += 1) {
      for (const key of this.#buckets[at]?.keys() ?? []) keys.push(key)
    }
    return { keys, next: at < buckets ? at : undefined }
  }

  *[Symbol.iterator](): Generator<[string, Stored], undefined> {
    for (const bucket of this.#buckets) if (bucket !== undefined) yield* bucket
    return undefined
  }
}

/** FNV-1a, of UTF-16 units. */
function bucketOf(key: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  }
  return (hash ^ (hash >>> 16)) & (buckets - 1)
}
