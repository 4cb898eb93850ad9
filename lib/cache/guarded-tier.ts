import type { Clock, Timer } from '../clock.ts'
import type { Replica, WriteLevel } from '../farm/transport.ts'
import { LastingFault } from '../limit/lasting-fault.ts'
import { LogLimiter } from '../limit/log-limiter.ts'
import { TokenBucket } from '../limit/token-bucket.ts'
import type { Log } from '../log.ts'
import { durationText } from '../options/duration.ts'
import { type TableId, tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import type { Version } from '../record/version.ts'
import { Breaker } from './breaker.ts'
import { EarlyRecords, tellsRevoked } from './early-records.ts'
import type { FoundRecord, Tier } from './tier.ts'

/** How things are now: of no use, or worse, to a host that starts later. */
const ofNow: ReadonlySet<TableId> = new Set([
  tables.health,
  tables.connection,
  tables.data,
])

/** Lookups that wait at a time, and a second: made-up ids must not fill what hosts share. */
const mostLookups = 1_024
const lookupRate = 20_000
/**
 * Writes that have no answer; beyond, what matters is written again later. Those to a disk come as
 * fast as all others write, and are few bytes each.
 */
const mostWrites = 8_192
const mostOwnWrites = 65_536
/** Shorter than this, ms, it says nothing of the tier that no answer came. */
const fairWait = 20
/** Longest wait for a write that nobody else waits for, ms. */
const patience = 10_000
/** From a write that failed until all that matters is written again, ms; doubles. */
const firstPause = 1_000
const longestPause = 30_000
/** Between two looks whether the clock is where records from the future are, ms. */
const earlyPause = 500
/** Records looked at in one step of that. */
const stepLength = 64

/** Of one tier since start; names are stable, for metrics. */
export interface TierCounts {
  readonly hits: number
  readonly misses: number
  /** Lookups that failed, had no answer in time, or were too many at once. */
  readonly errors: number
  readonly timeouts: number
  readonly limited: number
  /** Not asked, because the ones before had failed. */
  readonly skipped: number
  readonly writes: number
  /** Records from the future, of a clock that is wrong: not taken before it is there. */
  readonly refusedFuture: number
  /** Those of them that are waited for. */
  readonly early: number
  /** Not kept: failed, late, or too many at once. */
  readonly writeErrors: number
  readonly writesDropped: number
  /** 1 while lookups pass it by. */
  readonly open: number
  /** 1 while it may lack a revocation, a log-in or a key that was written here. */
  readonly behind: number
  readonly [name: string]: number
}

export interface GuardedTierParts {
  readonly tier: Tier
  readonly clock: Clock
  readonly log: Log
  /** What is here, to write again what the tier has missed. */
  readonly scan: Replica['scan']
  /** Takes what the tier has told. True when it was news. */
  apply(record: CacheRecord): boolean
  /** False for a version that is too far ahead of the clock here. Default: all are taken. */
  readonly accepts?: ((version: Version) => boolean) | undefined
}

/**
 * A tier that may fail, hang or refuse: lookups wait for it within a time of its own and pass it
 * by while it fails; what could not be written and matters (all but TLS sessions, of which a
 * missing one costs a handshake) is written again when it works again. Never rejects.
 */
export class GuardedTier implements Tier {
  readonly source: Tier['source']
  readonly budget: number | undefined
  readonly isOwn: boolean
  readonly #tier: Tier
  readonly #parts: GuardedTierParts
  readonly #breaker: Breaker
  readonly #bucket = new TokenBucket(lookupRate, lookupRate)
  readonly #lookupFault: LastingFault
  readonly #writeFault: LastingFault
  readonly #early = new EarlyRecords()
  readonly #earlyLines: LogLimiter
  #earlyTimer: Timer | undefined
  readonly #counts = {
    hits: 0,
    misses: 0,
    errors: 0,
    timeouts: 0,
    limited: 0,
    skipped: 0,
    refusedFuture: 0,
    writes: 0,
    writeErrors: 0,
    writesDropped: 0,
  }
  #lookups = 0
  #writes = 0
  #behind = false
  #pause = firstPause
  #timer: Timer | undefined
  #closed = false

  constructor(parts: GuardedTierParts) {
    const { tier, clock, log } = parts
    this.#parts = parts
    this.#tier = tier
    this.source = tier.source
    this.budget = tier.budget
    this.isOwn = tier.isOwn === true
    this.#breaker = new Breaker(clock)
    const fields = { tier: tier.source }
    this.#lookupFault = new LastingFault({
      ...{ clock, log, fields },
      text: 'lookups pass a tier by, for it fails',
      over: 'the tier answers again',
    })
    this.#writeFault = new LastingFault({
      ...{ clock, log, fields },
      text: 'a tier does not keep what is written',
      over: 'the tier keeps again what is written',
    })
    this.#earlyLines = new LogLimiter(clock)
  }

  /** Lookups pass it by; one of them may find out whether it works again. */
  get isOpen(): boolean {
    return this.#breaker.isOpen
  }

  answers(level: WriteLevel): boolean {
    return this.#tier.answers(level)
  }

  async get(
    table: TableId,
    key: Buffer,
    budget: number,
  ): Promise<FoundRecord | undefined> {
    const { clock } = this.#parts
    const wait = Math.min(budget, this.budget ?? budget)
    if (wait <= 0 || !this.#keeps(table)) return undefined
    // What lies on a disk may have been revoked by what is known to lie there, too.
    if (this.withholds) {
      this.#counts.misses += 1
      return undefined
    }
    if (this.#lookups >= mostLookups || !this.#bucket.take(clock.monotonic())) {
      this.#counts.limited += 1
      return undefined
    }
    if (!this.#breaker.admits()) {
      this.#counts.skipped += 1
      return undefined
    }
    this.#lookups += 1
    const answer = await this.#within(wait, () => this.#tier.get(table, key, wait))
    this.#lookups -= 1
    if (answer.kind === 'late') {
      this.#counts.timeouts += 1
      if (wait >= fairWait) this.#failed('no answer in time')
      return undefined
    }
    if (answer.kind === 'failed') {
      this.#counts.errors += 1
      this.#failed(answer.error)
      return undefined
    }
    if (this.#breaker.succeeded()) this.#lookupFault.worked()
    if (answer.value === undefined || !this.#accepts(answer.value)) {
      this.#counts.misses += 1
      return undefined
    }
    this.#counts.hits += 1
    return answer.value
  }

  /**
   * Takes what the tier tells of, or sets it aside until the clock here is there. True when it
   * was news.
   */
  apply(record: CacheRecord): boolean {
    const isEarly = !this.#accepts(record)
    // What a disk has of before may be revoked by what it has told already. Keys are none of that,
    // and without those of before others would be made.
    const isUnaffected = tellsRevoked(record) || record.table === tables.farm
    const waits = isEarly || (this.withholds && !isUnaffected)
    if (!waits) return this.#parts.apply(record)
    if (record.table === tables.session || ofNow.has(record.table)) return false
    if (!this.#early.add(record)) {
      this.#earlyLines.log(heldBack =>
        this.#parts.log.error(
          { tier: this.source, heldBack },
          'too many records come from the future: this host does not know what is revoked ' +
            'until its processes are started again, with the clocks set right',
        ),
      )
    }
    if (!isEarly) return false
    this.#earlyLines.log(heldBack => {
      const ahead = durationText(record.version.ms - this.#parts.clock.now())
      this.#parts.log.error(
        { tier: this.source, ahead, heldBack },
        'a record comes from the future, and is not taken before then: the clock of this host ' +
          'is behind, or was wrong where it was written; set the clocks right, by NTP for one',
      )
    })
    this.#ripenLater()
    return false
  }

  /** It has told what was revoked, and that is not taken yet. */
  get withholds(): boolean {
    this.#ripen()
    return this.isOwn && this.#early.lacksRevoked
  }

  async put(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean> {
    if (!this.#keeps(record.table)) return true
    const most = this.isOwn ? mostOwnWrites : mostWrites
    if (this.#closed || this.#writes >= most) {
      this.#counts.writesDropped += 1
      this.#missed(record)
      return false
    }
    this.#writes += 1
    this.#counts.writes += 1
    const wait = Math.max(budget, patience)
    const kept = this.#within(wait, () => this.#tier.put(record, level, wait)).then(
      answer => {
        this.#writes -= 1
        this.#noteWrite(answer)
        if (answer.kind === 'done') return answer.value
        this.#counts.writeErrors += 1
        this.#missed(record)
        return false
      },
    )
    if (level === 'local' || budget <= 0) return true
    if (budget >= patience) return await kept
    const answer = await this.#within(budget, () => kept)
    return answer.kind === 'done' && answer.value
  }

  /** The tier may have lost what it had: all that matters is written again. */
  lost(): void {
    if (this.#closed) return
    this.#behind = true
    this.#catchUpLater()
  }

  /**
   * What is here before it, from a disk or from the time of another hub, may never have come to
   * it: whoever wrote that ended while the tier was away.
   */
  async watch(): Promise<void> {
    const { records } = this.#parts.scan(undefined, 1)
    await this.#tier.watch()
    if (records.length > 0) this.lost()
  }

  absent(): ReturnType<Tier['absent']> {
    return this.#tier.absent()
  }

  isCurrent(): boolean {
    this.#ripen()
    // Where the time here is right, they are a fault of where they were written.
    const lacks = this.#early.lacksRevoked && this.#tier.isTimeRight !== true
    return !lacks && (this.isOwn || this.#tier.isCurrent())
  }

  stats(): TierCounts {
    return {
      ...this.#counts,
      early: this.#early.size,
      open: this.isOpen ? 1 : 0,
      // Until all has been written again, too.
      behind: this.#behind || this.#timer !== undefined ? 1 : 0,
      ...this.#tier.stats?.(),
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    this.#earlyTimer?.cancel()
    this.#lookupFault.close()
    this.#writeFault.close()
    await this.#tier.close()
  }

  #accepts({ version }: CacheRecord): boolean {
    if (this.#parts.accepts?.(version) !== false) return true
    this.#counts.refusedFuture += 1
    return false
  }

  #ripen(): void {
    if (this.#early.size === 0 || this.#closed) return
    const { accepts, apply, log } = this.#parts
    const isDue = (version: Version) => accepts?.(version) !== false
    for (const record of this.#early.take(isDue, this.isOwn)) {
      try {
        apply(record)
      } catch (error) {
        // It is in the table; what somebody made of that keeps none of the others back.
        log.error({ tier: this.source, error: String(error) }, 'a record was not taken')
      }
    }
    this.#ripenLater()
  }

  #ripenLater(): void {
    if (this.#early.size === 0) return
    this.#earlyTimer ??= this.#parts.clock.after(earlyPause, () => {
      this.#earlyTimer = undefined
      this.#ripen()
    })
  }

  #keeps(table: TableId): boolean {
    return !this.isOwn || !ofNow.has(table)
  }

  #failed(why: unknown): void {
    this.#breaker.failed()
    if (this.#breaker.isOpen) this.#lookupFault.failed(why)
  }

  #noteWrite(answer: Answer<unknown>): void {
    if (answer.kind === 'done') this.#writeFault.worked()
    else if (answer.kind === 'late') this.#writeFault.failed('a write without an answer')
    else this.#writeFault.failed(answer.error)
  }

  #missed({ table }: CacheRecord): void {
    if (table !== tables.session) this.lost()
  }

  #catchUpLater(): void {
    if (this.#timer !== undefined) return
    this.#timer = this.#parts.clock.after(this.#pause, () => {
      void this.#catchUp().then(done => {
        this.#timer = undefined
        if (this.#closed) return
        this.#pause = done ? firstPause : Math.min(2 * this.#pause, longestPause)
        if (this.#behind) this.#catchUpLater()
      })
    })
  }

  /** False when it still fails. */
  async #catchUp(): Promise<boolean> {
    const { scan } = this.#parts
    this.#behind = false
    let cursor: object | undefined
    do {
      const { records, next } = scan(cursor, stepLength)
      const kept = await Promise.all(
        records
          .filter(({ table }) => table !== tables.session && this.#keeps(table))
          .map(record =>
            this.#within(patience, () => this.#tier.put(record, 'local', patience)),
          ),
      )
      if (this.#closed) return true
      for (const answer of kept) this.#noteWrite(answer)
      if (kept.some(({ kind }) => kind !== 'done')) {
        this.#behind = true
        return false
      }
      cursor = next
      await new Promise<void>(resolve => setImmediate(resolve))
    } while (cursor !== undefined)
    const { log } = this.#parts
    log.info({ tier: this.source }, 'a tier has been given what it had missed')
    return true
  }

  #within<Value>(ms: number, ask: () => Promise<Value>): Promise<Answer<Value>> {
    return new Promise(resolve => {
      const timer = this.#parts.clock.after(ms, () => resolve({ kind: 'late' }))
      const end = (answer: Answer<Value>) => {
        timer.cancel()
        resolve(answer)
      }
      try {
        ask().then(
          value => end({ kind: 'done', value }),
          error => end({ kind: 'failed', error }),
        )
      } catch (error) {
        end({ kind: 'failed', error })
      }
    })
  }
}

type Answer<Value> =
  | { readonly kind: 'done'; readonly value: Value }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'late' }
