import type { FoundRecord, Tier, TierParts } from '../../lib/cache/tier.ts'
import type { Clock, Timer } from '../../lib/clock.ts'
import { LastingFault } from '../../lib/limit/lasting-fault.ts'
import { type TableId, tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { versionLength, writeVersion } from '../../lib/record/version.ts'
import { type Entry, rankLength } from './entry.ts'
import { Environment, type EnvironmentState } from './environment.ts'

/** Read from the disk in one step of a walk. */
const stepRecords = 512
const stepBytes = 512 * 1024
/** For which the walk keeps everybody else waiting, ms. */
const slice = 2
/** Removed in one step, and the pauses between two where there is more and where not, ms. */
const sweepLength = 256
const sweepPause = 100
const sweepInterval = 5_000
/** Until what could not be read to its end is read again, ms; doubles. */
const firstPause = 1_000
const longestPause = 30_000

/** Not given up for want of room: what was revoked, the keys of the farm, what was emptied. */
const kept: ReadonlySet<TableId> = new Set([tables.revocation, tables.farm, tables.purge])
/** Before all else: what was emptied and what was revoked must be known when the rest comes. */
const first: readonly TableId[] = [tables.purge, tables.revocation, tables.farm]
/** Behind the names of all TLS sessions, which are those of the first table. */
const behindSessions = Buffer.of(tables.session + 1)

export interface DiskTierOptions {
  readonly folder: string
  readonly maxBytes: number
  readonly fsync: boolean
  /** Longest wait at start for what the disk has, ms. */
  readonly loadTimeout: number
}

/**
 * Records on this machine's disk, sealed, for when all processes were stopped. The key in the
 * environment is the sealer's name of the record, which begins with its table.
 */
export class DiskTier implements Tier {
  readonly source = 'disk'
  readonly isOwn = true
  readonly #options: DiskTierOptions
  readonly #parts: TierParts
  readonly #loadFault: LastingFault
  #environment: Environment | undefined
  #loading: Promise<void> | undefined
  /** All but TLS sessions is here. */
  #isServing = false
  #again: Timer | undefined
  #pause = firstPause
  #sweeping: Timer | undefined
  #wasDown = false
  #knowsRevoked = false
  #closed = false
  /** Of what was found there since start. */
  readonly #counts = { loaded: 0, foreign: 0, full: 0 }

  constructor(options: DiskTierOptions, parts: TierParts) {
    this.#options = options
    this.#parts = parts
    const { clock, log } = parts
    this.#loadFault = new LastingFault({
      ...{ clock, log, fields: { folder: options.folder } },
      text: 'the disk tier could not be read to its end',
      over: 'the disk tier was read to its end',
    })
  }

  /** While it is off nobody waits for it: what matters is written when it is on again. */
  answers(level: string): boolean {
    return level === 'all' && this.#environment?.state.up === true
  }

  /** A miss as long as it is not known what of that was revoked. */
  async get(table: TableId, key: Buffer): Promise<FoundRecord | undefined> {
    if (!this.#knowsRevoked) return undefined
    const name = this.#parts.sealer.name(table, key)
    const entry = await this.#opened().get(name)
    return entry && this.#open(entry)
  }

  async put(record: CacheRecord): Promise<boolean> {
    const put = this.#entryOf(record)
    const [outcome] = await this.#opened().write([{ when: 'newer', put }])
    if (outcome !== 'full') return true
    this.#counts.full += 1
    throw new Error('the disk tier is full of what must be kept')
  }

  /** Resolves when all but TLS sessions is here, which go on coming, or after `loadTimeout`. */
  async watch(): Promise<void> {
    const { clock, log } = this.#parts
    const { loadTimeout, ...options } = this.#options
    const environment = await Environment.open({
      ...options,
      clock,
      log,
      // What matters is written to it again.
      isMadeAnew: true,
    })
    this.#environment = environment
    if (this.#closed) return await environment.close()
    environment.onState(state => this.#changed(state))
    this.#changed(environment.state)
    await within(loadTimeout, this.#loading, clock)
  }

  absent(): [] {
    return []
  }

  /** Nobody else writes to it. */
  isCurrent(): boolean {
    return true
  }

  stats(): { readonly [name: string]: number } {
    const environment = this.#environment
    if (environment === undefined) return { up: 0, ...this.#counts }
    const { entries: records, ...figures } = environment.figures()
    return { up: environment.state.up ? 1 : 0, records, ...figures, ...this.#counts }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#sweeping?.cancel()
    this.#again?.cancel()
    this.#loadFault.close()
    await this.#environment?.close()
  }

  #changed(state: EnvironmentState): void {
    const { log, lost } = this.#parts
    const { folder } = this.#options
    this.#sweeping?.cancel()
    this.#again?.cancel()
    if (!state.up) {
      const { reason } = state
      if (!this.#wasDown)
        log.error({ folder, reason }, 'the disk tier is off: nothing is kept on disk')
      this.#wasDown = true
      return
    }
    // What was written meanwhile is not there.
    if (this.#wasDown) {
      log.info({ folder }, 'the disk tier is on again')
      lost()
    }
    this.#wasDown = false
    this.#loading ??= this.#load()
    this.#sweepLater(sweepInterval)
  }

  /**
   * Resolves behind all that has to be there before anybody is served. What fails while the disk
   * is up is tried again; else it is read when the disk is.
   */
  async #load(): Promise<void> {
    try {
      if (!this.#isServing) await this.#loadBeforeSessions()
    } catch (error) {
      this.#notLoaded(error)
      return
    }
    this.#loadSessions().then(
      () => {
        this.#pause = firstPause
        this.#loadFault.worked()
      },
      error => this.#notLoaded(error),
    )
  }

  async #loadBeforeSessions(): Promise<void> {
    for (const table of first) await this.#loadNames(Buffer.of(table))
    this.#knowsRevoked = !this.#closed
    await this.#loadNames(Buffer.alloc(0), behindSessions)
    this.#isServing = true
  }

  /** As many as half of the memory has room for; more are found when they are asked for. */
  async #loadSessions(): Promise<void> {
    const { memory } = this.#parts
    await this.#loadNames(Buffer.of(tables.session), undefined, memory / 2)
  }

  async #loadNames(
    prefix: Buffer,
    from?: Buffer,
    mostBytesInAll = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const { clock, replica } = this.#parts
    let bytes = 0
    let after = from
    let until = clock.monotonic() + slice
    while (!this.#closed && bytes < mostBytesInAll) {
      const entries = await this.#opened().scan({
        prefix,
        after,
        limit: stepRecords,
        mostBytes: stepBytes,
      })
      for (const entry of entries) {
        const record = this.#open(entry)
        bytes += entry.value.length
        if (record !== undefined && replica.apply(record)) this.#counts.loaded += 1
        if (clock.monotonic() < until) continue
        await othersTurn()
        until = clock.monotonic() + slice
      }
      after = entries.at(-1)?.key
      if (after === undefined) return
    }
  }

  #notLoaded(error: unknown): void {
    this.#loading = undefined
    if (this.#closed) return
    const { clock } = this.#parts
    this.#loadFault.failed(error)
    if (this.#environment?.state.up !== true) return
    this.#again = clock.after(this.#pause, () => {
      this.#loading ??= this.#load()
    })
    this.#pause = Math.min(2 * this.#pause, longestPause)
  }

  #open({ key, value, expiresAt }: Entry): CacheRecord | undefined {
    const { clock, sealer } = this.#parts
    if (expiresAt <= clock.now()) return undefined
    const record = sealer.open(key, value)
    if (record === undefined) this.#counts.foreign += 1
    return record
  }

  #entryOf(record: CacheRecord): Entry {
    const { sealer } = this.#parts
    const { table, key, expiresAt } = record
    return {
      key: sealer.name(table, key),
      rank: rankOf(record),
      expiresAt,
      kept: kept.has(table),
      value: sealer.seal(record),
    }
  }

  #sweepLater(ms: number): void {
    const { clock } = this.#parts
    this.#sweeping = clock.after(ms, () => void this.#sweep())
  }

  async #sweep(): Promise<void> {
    const environment = this.#environment
    if (this.#closed || environment === undefined) return
    try {
      const removed = await environment.sweep(this.#parts.clock.now(), sweepLength)
      if (!this.#closed)
        this.#sweepLater(removed < sweepLength ? sweepInterval : sweepPause)
    } catch {
      // It is down, and when it is up again the sweep goes on.
    }
  }

  #opened(): Environment {
    if (this.#environment === undefined) throw new Error('the disk tier is not open')
    return this.#environment
  }
}

/** In the order of `supersedes`, but for writes with one version. */
function rankOf({ version, tombstone }: CacheRecord): Buffer {
  const rank = Buffer.alloc(rankLength)
  writeVersion(version, rank, 0)
  rank[versionLength] = tombstone ? 1 : 0
  return rank
}

function othersTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

/** For at most so many ms. */
function within(
  ms: number,
  done: Promise<void> | undefined,
  clock: Clock,
): Promise<void> {
  return new Promise(resolve => {
    const timer = clock.after(ms, resolve)
    void done?.finally(() => {
      timer.cancel()
      resolve()
    })
    if (done === undefined) {
      timer.cancel()
      resolve()
    }
  })
}
