import type { Clock } from '../../clock.ts'
import { OldestKey } from '../../oldest-key.ts'
import { ownBytes } from '../own-bytes.ts'
import {
  type Cached,
  type DataCache,
  floorMemory,
  longestMemory,
  replaces,
} from './data-cache.ts'

/** What an entry costs beside its key and value, about. */
const overhead = 500

/** The data cache of a server that is in no farm: the entries used last, up to so many bytes. */
export class MemoryCache implements DataCache {
  readonly #clock: Clock
  readonly #maxBytes: number
  /** The one used last is the last one. */
  readonly #entries = new Map<string, Cached>()
  readonly #oldest = new OldestKey(this.#entries)
  #bytes = 0

  constructor(clock: Clock, maxBytes: number) {
    this.#clock = clock
    this.#maxBytes = maxBytes
  }

  read(table: string, key: string): Cached | undefined {
    const name = nameOf(table, key)
    const cached = this.#entries.get(name)
    if (cached === undefined) return undefined
    const life = cached.value === undefined ? floorMemory : longestMemory
    if (cached.asOf + life <= this.#clock.now()) {
      this.#drop(name, cached)
      return undefined
    }
    this.#entries.delete(name)
    this.#entries.set(name, cached)
    this.#oldest.rest()
    return cached
  }

  async put(table: string, key: string, cached: Cached): Promise<boolean> {
    this.keep(table, key, cached)
    return true
  }

  keep(table: string, key: string, cached: Cached): void {
    const name = nameOf(table, key)
    const old = this.#entries.get(name)
    if (old !== undefined && !replaces(cached, old)) return
    if (old !== undefined) this.#drop(name, old)
    this.#entries.set(name, owned(cached))
    this.#bytes += costOf(name, cached)
    if (this.#bytes <= this.#maxBytes) this.#oldest.rest()
    while (this.#bytes > this.#maxBytes) {
      const oldest = this.#oldest.next()
      this.#drop(oldest, this.#entries.get(oldest) as Cached)
    }
  }

  watch(): () => void {
    return () => {}
  }

  isCurrent(): undefined {
    return undefined
  }

  now(): number {
    return this.#clock.now()
  }

  close(): void {
    this.#entries.clear()
    this.#bytes = 0
  }

  #drop(name: string, cached: Cached): void {
    this.#entries.delete(name)
    this.#bytes -= costOf(name, cached)
  }
}

function nameOf(table: string, key: string): string {
  return `${table}\0${key}`
}

function owned(cached: Cached): Cached {
  const { value } = cached
  if (value === undefined || value.length === value.buffer.byteLength) return cached
  return { ...cached, value: ownBytes(value) }
}

function costOf(name: string, { value }: Cached): number {
  return overhead + 2 * name.length + (value?.length ?? 0)
}
