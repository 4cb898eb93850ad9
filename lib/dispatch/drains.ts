import type { Cache } from '../cache/cache.ts'
import type { WriteReach } from '../farm/transport.ts'
import { tables } from '../record/key.ts'

/** Before the origin, in keys of virtual table `backend`. */
const prefix = 'drain\0'
/** Longest wait for other members, in milliseconds. */
const budget = 1_000

/**
 * Backends that the operator lets run dry, on every proxy of the farm: they keep the clients that
 * they have and get no others. By origin, whichever sites they stand in; known before they do,
 * and for as long as any member lives.
 */
export class Drains {
  readonly #cache: Cache
  readonly #origins = new Set<string>()
  readonly #listeners = new Set<() => void>()

  /** To be made before the cache is opened. */
  constructor(cache: Cache) {
    this.#cache = cache
    cache.keep(tables.backend, key => key.toString('latin1').startsWith(prefix))
    cache.watch(tables.backend, ({ key, tombstone }) => {
      const name = key.toString('latin1')
      if (!name.startsWith(prefix)) return
      const origin = name.slice(prefix.length)
      if (tombstone) this.#origins.delete(origin)
      else this.#origins.add(origin)
      for (const listener of this.#listeners) listener()
    })
  }

  has(origin: string): boolean {
    return this.#origins.has(origin)
  }

  get origins(): readonly string[] {
    return [...this.#origins].sort()
  }

  /** From now on it gets no new clients. Says which members do not know yet. */
  drain(origin: string): Promise<WriteReach> {
    const terms = { ttl: Number.POSITIVE_INFINITY, level: 'all', budget } as const
    return this.#cache.reach(() => [
      this.#cache.add(tables.backend, keyOf(origin), Buffer.from('1'), terms),
    ])
  }

  enable(origin: string): Promise<WriteReach> {
    return this.#cache.reach(() => [
      this.#cache.delete(tables.backend, keyOf(origin), { level: 'all', budget }),
    ])
  }

  /** Calls back when any changes. Returns the way to stop it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

function keyOf(origin: string): Buffer {
  return Buffer.from(prefix + origin, 'latin1')
}
