import { type Clock, systemClock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import {
  type Database,
  type EndMove,
  moveOf,
  type ScannedEntry,
  type ScanPage,
  type Stored,
} from './database.ts'
import { MemoryEntries } from './memory-entries.ts'
import { ownBytes } from './own-bytes.ts'

const usualMost = 256 * 1024 * 1024
/** What an entry costs beside its key and value, about. */
const overhead = 500
/** How many entries are looked at, for one that is written, for whether they have ended. */
const sweepStep = 4

export interface MemoryDatabaseOptions {
  /**
   * Bytes of keys and values, with some 500 for each. A write beyond it is refused; nothing is
   * dropped for it. Default 256 MiB.
   */
  readonly maxBytes?: number | undefined
  /** In place of the system's. */
  readonly clock?: Clock | undefined
}

/**
 * A database in the memory of this process, which ends with it: for tests, and for what may be
 * lost at the next start.
 */
export function memoryDatabase(options: MemoryDatabaseOptions = {}): Database {
  return new MemoryDatabase(options)
}

class MemoryDatabase implements Database {
  readonly name = 'memory'
  readonly reach = 'process'
  readonly isVolatile = true
  readonly #clock: Clock
  readonly #maxBytes: number
  readonly #tables = new Map<string, MemoryEntries>()
  #bytes = 0
  #version: bigint
  #closed = false
  #sweep: Iterator<[string, string, Stored]> | undefined

  constructor({ maxBytes = usualMost, clock = systemClock }: MemoryDatabaseOptions) {
    this.#clock = clock
    this.#maxBytes = maxBytes
    // Above those of an earlier process, which may be in the caches of others yet.
    this.#version = BigInt(Math.floor(clock.now())) << 20n
  }

  async open(): Promise<void> {}

  async get(table: string, key: string): Promise<Stored | undefined> {
    this.#checkOpen()
    return this.#read(table, key)
  }

  async compareAndSet(
    table: string,
    key: string,
    expected: bigint | undefined,
    value: Buffer,
    expiresAt: number | undefined,
  ): Promise<bigint | undefined> {
    this.#checkOpen()
    this.#sweepSome()
    const old = this.#read(table, key)
    if (old?.version !== expected) return undefined
    const grown = costOf(key, value) - (old === undefined ? 0 : costOf(key, old.value))
    if (grown > 0 && this.#bytes + grown > this.#maxBytes) throw full(this.#maxBytes)
    this.#version += 1n
    const entries = this.#tables.get(table) ?? new MemoryEntries()
    this.#tables.set(table, entries)
    entries.set(key, { value: ownBytes(value), version: this.#version, expiresAt })
    this.#bytes += grown
    return this.#version
  }

  async delete(
    table: string,
    key: string,
    expected?: bigint,
  ): Promise<bigint | undefined> {
    this.#checkOpen()
    const old = this.#read(table, key)
    if (old === undefined || (expected !== undefined && old.version !== expected)) {
      return undefined
    }
    this.#drop(table, key, old)
    return old.version
  }

  async expire(
    table: string,
    key: string,
    expiresAt: number | undefined,
  ): Promise<EndMove | undefined> {
    this.#checkOpen()
    const old = this.#read(table, key)
    if (old === undefined) return undefined
    this.#tables.get(table)?.set(key, { ...old, expiresAt })
    return moveOf(old.expiresAt, expiresAt)
  }

  /** The cursor is the number of a bucket. */
  async scan(table: string, cursor = '0', limit = 100): Promise<ScanPage> {
    this.#checkOpen()
    const { keys, next } = this.#tables.get(table)?.keysFrom(Number(cursor), limit) ?? {
      keys: [],
    }
    const entries: ScannedEntry[] = []
    for (const key of keys) {
      const stored = this.#read(table, key)
      if (stored !== undefined) entries.push({ ...stored, key })
    }
    return { entries, next: next === undefined ? undefined : String(next) }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#tables.clear()
  }

  #read(table: string, key: string): Stored | undefined {
    const stored = this.#tables.get(table)?.get(key)
    if (stored === undefined || !this.#hasEnded(stored)) return stored
    this.#drop(table, key, stored)
    return undefined
  }

  #hasEnded({ expiresAt }: Stored): boolean {
    return expiresAt !== undefined && expiresAt <= this.#clock.now()
  }

  #drop(table: string, key: string, stored: Stored): void {
    if (this.#tables.get(table)?.delete(key)) this.#bytes -= costOf(key, stored.value)
  }

  #sweepSome(): void {
    for (let step = 0; step < sweepStep; step += 1) {
      this.#sweep ??= walk(this.#tables)
      const { done, value } = this.#sweep.next()
      if (done === true) {
        this.#sweep = undefined
        return
      }
      const [table, key, stored] = value
      if (this.#hasEnded(stored)) this.#drop(table, key, stored)
    }
  }

  #checkOpen(): void {
    if (this.#closed) {
      throw new HandfastError('ERR_HANDFAST_CLOSED', 'the database is closed')
    }
  }
}

function* walk(
  tables: ReadonlyMap<string, MemoryEntries>,
): Generator<[string, string, Stored], undefined> {
  for (const [table, entries] of tables) {
    for (const [key, stored] of entries) yield [table, key, stored]
  }
  return undefined
}

function costOf(key: string, value: Buffer): number {
  return overhead + 2 * key.length + value.length
}

function full(maxBytes: number): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_DATABASE_FULL',
    `the database in memory is full: maxBytes is ${maxBytes}`,
  )
}
