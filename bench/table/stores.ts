import { LRUCache } from 'lru-cache'
import { systemClock } from '../../lib/clock.ts'
import { tables } from '../../lib/record/key.ts'
import { OffHeapTable } from '../../lib/table/off-heap-table.ts'

export type StoreName = 'handfast' | 'Map' | 'lru-cache'

/** What is measured. Keys and values are the caller's buffers, used again for the next call. */
export interface Store {
  put(key: Buffer, value: Buffer): void
  get(key: Buffer): Buffer | undefined
}

/** `maxBytes` bounds the table; lru-cache is given it as the sum of keys and values alone. */
export function openStore(name: StoreName, maxBytes: number): Store {
  if (name === 'Map') return mapStore()
  return name === 'lru-cache' ? lruStore(maxBytes) : tableStore(maxBytes)
}

function tableStore(maxBytes: number): Store {
  const table = new OffHeapTable({ clock: systemClock, maxBytes })
  const ms = Date.now()
  const expiresAt = ms + 3_600_000
  const version = { ms, logical: 0, node: 1 }
  return {
    put(key, value) {
      const record = { key, value, version, expiresAt, tombstone: false }
      table.put({ table: tables.session, ...record })
    },
    get: key => table.get(tables.session, key),
  }
}

/** A Map needs strings for keys and copies of its own. */
function mapStore(): Store {
  const map = new Map<string, Buffer>()
  return {
    put: (key, value) => void map.set(key.toString('latin1'), Buffer.from(value)),
    get: key => map.get(key.toString('latin1')),
  }
}

function lruStore(maxBytes: number): Store {
  const cache = new LRUCache<string, Buffer>({
    maxSize: maxBytes,
    sizeCalculation: (value, key) => value.length + key.length,
  })
  return {
    put: (key, value) => void cache.set(key.toString('latin1'), Buffer.from(value)),
    get: key => cache.get(key.toString('latin1')),
  }
}
