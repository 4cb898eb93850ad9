import { type Clock, systemClock, type Timer } from '../../lib/clock.ts'
import { HandfastError } from '../../lib/errors.ts'
import { type Log, silentLog } from '../../lib/log.ts'
import {
  anything,
  aSwitch,
  aText,
  checkOptions,
  type OptionRules,
} from '../../lib/options/check-options.ts'
import { fillNumbers, type NumberRules } from '../../lib/options/number-options.ts'
import {
  type Database,
  type EndMove,
  moveOf,
  type ScannedEntry,
  type ScanPage,
  type Stored,
} from '../../lib/state/database.ts'
import { type Change, type Entry, never, rankLength } from './entry.ts'
import { Environment, leastBytes, usualBytes } from './environment.ts'
import type { outcomes } from './task.ts'

export interface LmdbDatabaseOptions {
  /**
   * A folder on a disk of this machine, for one process alone, and not that of a tier. Is made
   * where it is not there; nobody else may look into it.
   */
  readonly folder: string
  /** All that its file may take. A write beyond it is refused. Default 1 GiB, at least 64 MiB. */
  readonly maxBytes?: number | undefined
  /**
   * Whether a write is acknowledged when it is on the disk. Default true. false: it outlives this
   * process, but not the power.
   */
  readonly fsync?: boolean | undefined
  readonly log?: Log | undefined
  readonly clock?: Clock | undefined
}

const rules: OptionRules<LmdbDatabaseOptions> = {
  folder: aText,
  maxBytes: anything,
  fsync: aSwitch,
  log: anything,
  clock: anything,
}

const numbers: NumberRules<'maxBytes'> = {
  maxBytes: { unit: 'bytes', usual: usualBytes, least: leastBytes, most: 2 ** 44 },
}

/**
 * A database in a folder of this machine, for one process: nothing to install beside the package
 * `lmdb`, which comes with this one. What was acknowledged is there after `kill -9` and after a
 * loss of power.
 */
export function lmdbDatabase(options: LmdbDatabaseOptions): Database {
  return new LmdbDatabase(options)
}

/** Of what lies in the values; a larger one is refused. */
const schema = 1
/** Schema (u8), and the version up to which some may have been given out (u64). */
const aboutKey = Buffer.from('\0about')
const aboutLength = 9
/** Versions are given out up to here before the next word on the disk: an hour's. */
const reserve = 3_600_000n << 20n
const tries = 10
const scanBytes = 4 * 1024 * 1024
const sweepLength = 256
const sweepPause = 100
const sweepInterval = 5_000

/**
 *      key: name of the table, NUL, key      rank: 8 bytes of zeros, version (u64)
 *
 * Nobody else has the folder, so a version that this object has not given out yet is larger than
 * all that there ever were; the disk knows how far they went before one is used.
 */
class LmdbDatabase implements Database {
  readonly name = 'lmdb'
  readonly reach = 'process'
  readonly #options: LmdbDatabaseOptions
  readonly #clock: Clock
  readonly #log: Log
  readonly #maxBytes: number
  #environment: Environment | undefined
  #version = 0n
  #reserved = 0n
  #sweeping: Timer | undefined
  #closed = false

  constructor(options: LmdbDatabaseOptions) {
    checkOptions('lmdbDatabase', options, rules)
    if ((options.folder as string | undefined) === undefined) {
      throw new HandfastError('ERR_HANDFAST_CONFIG', 'lmdbDatabase: folder is needed')
    }
    this.#options = options
    const prefix = 'lmdbDatabase: '
    this.#maxBytes = fillNumbers(numbers, options, { prefix, whole: true }).maxBytes
    this.#clock = options.clock ?? systemClock
    this.#log = options.log ?? silentLog
  }

  async open(): Promise<void> {
    const { folder, fsync } = this.#options
    const terms = { folder, fsync, maxBytes: this.#maxBytes }
    const environment = await Environment.open({
      ...terms,
      clock: this.#clock,
      log: this.#log,
    })
    try {
      if (!environment.state.up) throw refused(environment.state.reason)
      await this.#readAbout(environment)
    } catch (error) {
      await environment.close()
      throw error
    }
    environment.onState(state => {
      if (!state.up && !this.#closed) {
        this.#log.error({ folder, reason: state.reason }, 'state is not stored now')
      }
    })
    this.#environment = environment
    this.#sweepLater(sweepInterval)
  }

  async get(table: string, key: string): Promise<Stored | undefined> {
    const entry = await this.#here().get(nameOf(table, key))
    return entry && this.#storedOf(entry)
  }

  async compareAndSet(
    table: string,
    key: string,
    expected: bigint | undefined,
    value: Buffer,
    expiresAt: number | undefined,
  ): Promise<bigint | undefined> {
    const name = nameOf(table, key)
    const own = Buffer.from(value)
    return await this.#change(name, old => {
      const live = old && this.#storedOf(old)
      if (live?.version !== expected) return undefined
      this.#version = this.#nextVersion()
      const version = this.#version
      const put = entryOf(name, version, own, expiresAt)
      return { change: { when: old === undefined ? 'absent' : old.rank, put }, version }
    })
  }

  async delete(
    table: string,
    key: string,
    expected?: bigint,
  ): Promise<bigint | undefined> {
    const name = nameOf(table, key)
    return await this.#change(name, old => {
      const live = old && this.#storedOf(old)
      if (old === undefined || live === undefined) return undefined
      const { version } = live
      if (expected !== undefined && version !== expected) return undefined
      return { change: { when: old.rank, remove: name }, version }
    })
  }

  async expire(
    table: string,
    key: string,
    expiresAt: number | undefined,
  ): Promise<EndMove | undefined> {
    const name = nameOf(table, key)
    let move: EndMove | undefined
    await this.#change(name, old => {
      const live = old && this.#storedOf(old)
      move = live && moveOf(live.expiresAt, expiresAt)
      if (old === undefined || live === undefined) return undefined
      const put = entryOf(name, live.version, live.value, expiresAt)
      return { change: { when: old.rank, put }, version: live.version }
    })
    return move
  }

  async scan(table: string, cursor?: string, limit = 100): Promise<ScanPage> {
    const prefix = Buffer.from(`${table}\0`)
    const after = cursor === undefined ? undefined : Buffer.from(cursor, 'base64')
    const found = await this.#here().scan({ prefix, after, limit, mostBytes: scanBytes })
    const entries: ScannedEntry[] = []
    for (const entry of found) {
      const stored = this.#storedOf(entry)
      const key = entry.key.toString('utf8', prefix.length)
      if (stored !== undefined) entries.push({ ...stored, key })
    }
    return { entries, next: found.at(-1)?.key.toString('base64') }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#sweeping?.cancel()
    await this.#environment?.close()
  }

  /** Again while others of this process are faster, or what had ended is swept meanwhile. */
  async #change(
    name: Buffer,
    decide: (
      old: Entry | undefined,
    ) => { readonly change: Change; readonly version: bigint } | undefined,
  ): Promise<bigint | undefined> {
    for (let tried = 0; tried < tries; tried += 1) {
      const environment = this.#here()
      const decided = decide(await readCertain(() => environment.get(name)))
      if (decided === undefined) return undefined
      const changes = [...this.#reservation(), decided.change]
      const outcome = await this.#write(environment, changes)
      if (outcome === 'made') return decided.version
      if (outcome === 'full') {
        throw new HandfastError(
          'ERR_HANDFAST_DATABASE_FULL',
          `lmdb is full: maxBytes is ${this.#maxBytes}`,
        )
      }
    }
    throw refused('others were always faster')
  }

  async #write(
    environment: Environment,
    changes: readonly Change[],
  ): Promise<keyof typeof outcomes | undefined> {
    try {
      const outcomes = await environment.write(changes)
      // Nor does it, where there was no room for that.
      if (outcomes.includes('full')) this.#reserved = 0n
      return outcomes.at(-1)
    } catch (error) {
      // Nobody knows whether the disk knows how far versions go.
      this.#reserved = 0n
      throw error
    }
  }

  #nextVersion(): bigint {
    const now = BigInt(Math.floor(this.#clock.now())) << 20n
    return now > this.#version ? now : this.#version + 1n
  }

  /** In the same commit, before the version that it is for. */
  #reservation(): Change[] {
    if (this.#version <= this.#reserved) return []
    this.#reserved = this.#version + reserve
    return [{ when: 'always', put: aboutEntry(this.#reserved) }]
  }

  async #readAbout(environment: Environment): Promise<void> {
    const about = (await environment.get(aboutKey))?.value
    if (about === undefined) return
    const found = about[0] ?? 0
    if (found > schema || about.length < aboutLength) {
      throw new HandfastError(
        'ERR_HANDFAST_SCHEMA',
        `${this.#options.folder} has schema ${found} of state, this release knows ${schema}`,
      )
    }
    this.#version = about.readBigUInt64BE(1)
  }

  #storedOf({ rank, value, expiresAt }: Entry): Stored | undefined {
    if (expiresAt !== never && expiresAt <= this.#clock.now()) return undefined
    const version = rank.readBigUInt64BE(8)
    const ends = expiresAt === never ? undefined : expiresAt
    return { value: Buffer.from(value), version, expiresAt: ends }
  }

  #here(): Environment {
    if (this.#closed || this.#environment === undefined) {
      throw new HandfastError('ERR_HANDFAST_CLOSED', 'the database is closed')
    }
    const { state } = this.#environment
    if (!state.up) throw refused(state.reason)
    return this.#environment
  }

  #sweepLater(ms: number): void {
    if (this.#closed) return
    this.#sweeping = this.#clock.after(ms, () => {
      const swept = this.#environment?.sweep(this.#clock.now(), sweepLength)
      swept?.then(
        count => this.#sweepLater(count === sweepLength ? sweepPause : sweepInterval),
        () => this.#sweepLater(sweepInterval),
      )
    })
  }
}

/** A read that failed has changed nothing. */
async function readCertain<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    if (cause instanceof HandfastError) throw cause
    throw refused(cause instanceof Error ? cause.message : 'a fault of the disk', cause)
  }
}

function nameOf(table: string, key: string): Buffer {
  return Buffer.from(`${table}\0${key}`)
}

function entryOf(
  key: Buffer,
  version: bigint,
  value: Buffer,
  expiresAt: number | undefined,
): Entry {
  const rank = Buffer.alloc(rankLength)
  rank.writeBigUInt64BE(version, 8)
  const ends = expiresAt === undefined ? never : Math.max(0, Math.floor(expiresAt))
  return { key, rank, value, expiresAt: ends, kept: true }
}

function aboutEntry(reserved: bigint): Entry {
  const value = Buffer.alloc(aboutLength)
  value[0] = schema
  value.writeBigUInt64BE(reserved, 1)
  return {
    key: aboutKey,
    rank: Buffer.alloc(rankLength),
    value,
    expiresAt: never,
    kept: true,
  }
}

function refused(why: string, cause?: unknown): HandfastError {
  return new HandfastError('ERR_HANDFAST_DATABASE', `lmdb: ${why}`, { cause })
}
