import { tellsRevoked } from '../../lib/cache/early-records.ts'
import type { FoundRecord, Tier, TierParts, WriteLevel } from '../../lib/cache/tier.ts'
import type { Clock } from '../../lib/clock.ts'
import { HandfastError } from '../../lib/errors.ts'
import type { AbsentMember } from '../../lib/farm/transport.ts'
import type { TableId } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { supersedes } from '../../lib/record/supersedes.ts'
import type { Written } from './acknowledged-writes.ts'
import type { Reply } from './client.ts'
import { Follower } from './follower.ts'
import { Masters } from './masters.ts'
import type { RedisSetup } from './options.ts'
import { Part } from './part.ts'
import { Places } from './places.ts'
import { clockSlack, writeAlone, writeInPart } from './scripts.ts'
import { ServerClock } from './server-clock.ts'
import { findDenied } from './trial.ts'

/** Sealed records up to this length stand in the log, bytes; longer ones are fetched. */
const longestInLog = 1_024
/** Longest wait at start without any progress, as a multiple of that for a connection. */
const startPatience = 2
/** Longest wait for its time, ms. */
const timeBudget = 5_000
/** Before what could not be tried is tried again, ms. */
const trialPause = 500

/** Redis or Valkey as a place that all hosts of a farm share. */
export class RedisTier implements Tier {
  readonly source = 'redis'
  readonly #parts: TierParts
  readonly #setup: RedisSetup
  readonly #clock: Clock
  readonly #masters: Masters
  readonly #places: Places
  readonly #pieces: readonly Part[]
  #followers: readonly Follower[] = []
  #serverClock: ServerClock | undefined
  #foreign = 0
  /** What the user may not, in words. */
  #refusal: string | undefined
  /** Whether the user may do what hosts do is known. */
  #isTried = false
  #progressAt = 0
  #isStarting = false
  /** All was here once. */
  #isFilled = false
  #closed = false

  constructor(setup: RedisSetup, parts: TierParts) {
    this.#setup = setup
    this.#parts = parts
    this.#clock = parts.clock
    this.#masters = new Masters(setup, parts.clock, parts.log)
    this.#places = new Places(setup.prefix, parts.sealer)
    this.#pieces = this.#places.parts.map(
      keys =>
        new Part({
          keys,
          masters: this.#masters,
          sealer: parts.sealer,
          apply: record => parts.replica.apply(record),
          onForeign: () => {
            this.#foreign += 1
          },
        }),
    )
  }

  answers(level: WriteLevel): boolean {
    return level === 'one' || level === 'repositories'
  }

  async get(
    table: TableId,
    key: Buffer,
    budget: number,
  ): Promise<FoundRecord | undefined> {
    const name = this.#places.name(table, key)
    const part = this.#places.partOf(name)
    const place = this.#places.keyOf(name)
    const sealed =
      part === undefined
        ? await this.#masters.call(place, ['GET', place], { budget })
        : await this.#masters.call(part.log, ['HGET', part.records, name], { budget })
    return this.#open(name, sealed)
  }

  async put(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean> {
    // Others would not believe it, or not of all that it is about.
    if (this.#serverClock?.isKnown && !this.isTimeRight && tellsRevoked(record))
      throw new Error('the time of this host is not that of Redis')
    const name = this.#places.name(record.table, record.key)
    const sealed = this.#parts.sealer.seal(record)
    let mayReplace: Buffer = nothing
    // What is there may be damaged, or of the same version; it is replaced once at most.
    for (;;) {
      const { there, isDone } = await this.#write(
        name,
        record,
        sealed,
        mayReplace,
        level,
        budget,
      )
      if (!Buffer.isBuffer(there)) return isDone
      const other = this.#open(name, there)
      const isOurs = other !== undefined && !supersedes(record, other)
      if (isOurs) this.#parts.replica.apply(other)
      if (isOurs || mayReplace !== nothing) return isDone
      mayReplace = there
    }
  }

  async watch(): Promise<void> {
    await this.#masters.open()
    const { clock } = this.#parts
    this.#progressAt = clock.monotonic()
    this.#isStarting = true
    void this.#follow()
    await this.#filled().finally(() => {
      this.#isStarting = false
    })
  }

  /** Rejects with ERR_HANDFAST_JOIN; resolves as well when nothing comes any more. */
  async #filled(): Promise<void> {
    const { clock } = this.#parts
    const patience = startPatience * this.#setup.connectTimeout
    while (!this.#closed && !this.#isFilled) {
      if (this.#refusal !== undefined)
        throw new HandfastError('ERR_HANDFAST_JOIN', this.#refusal)
      if (clock.monotonic() - this.#progressAt > patience) return
      await new Promise<void>(resolve => clock.after(20, resolve))
    }
  }

  absent(): readonly AbsentMember[] {
    return []
  }

  get isTimeRight(): boolean {
    return this.#serverClock?.isRight === true
  }

  isCurrent(): boolean {
    if (!this.isTimeRight) return false
    return this.#followers.every(one => one.isCurrent())
  }

  stats(): { readonly [name: string]: number } {
    return { foreign: this.#foreign, current: this.isCurrent() ? 1 : 0 }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const follower of this.#followers) follower.close()
    this.#serverClock?.close()
    this.#masters.close()
  }

  /** One connection for all parts; in a cluster one for each, for no command has keys of two. */
  async #follow(): Promise<void> {
    await this.#masters.known()
    if (this.#closed) return
    void this.#tryRights()
    const { clock, log } = this.#parts
    const key = this.#pieces[0]?.keys.log ?? ''
    this.#serverClock = new ServerClock({
      clock,
      log,
      ask: () => this.#masters.call(key, ['TIME'], { budget: timeBudget }),
      onTime: () => this.#onProgress(),
    })
    const groups = this.#masters.isCluster
      ? this.#pieces.map(one => [one])
      : [this.#pieces]
    this.#followers = groups.map(
      (parts, at) =>
        new Follower({
          name: String(at),
          parts,
          masters: this.#masters,
          clock: this.#clock,
          silence: this.#setup.commandTimeout,
          lost: () => this.#parts.lost(),
          onRefusal: error => this.#refused(error.message),
          onProgress: () => this.#onProgress(),
        }),
    )
  }

  /** Until Redis has answered: it may be away. */
  async #tryRights(): Promise<void> {
    while (!this.#closed && !this.#isTried) {
      try {
        const denied = await findDenied(
          this.#masters,
          this.#places,
          this.#clock.now(),
          () => this.#onProgress(),
        )
        this.#isTried = true
        if (denied !== undefined)
          this.#refused(`${denied.error.message} (${denied.what})`)
        else this.#onProgress()
      } catch {
        await new Promise<void>(resolve => this.#clock.after(trialPause, resolve))
      }
    }
  }

  #refused(message: string): void {
    const reason = `${message}: see which commands are needed`
    const isNew = this.#refusal !== reason
    this.#refusal = reason
    // Whoever starts the host is told by an error.
    if (isNew && !this.#isStarting)
      this.#parts.log.warn({ reason }, 'Redis allows too little')
  }

  #onProgress(): void {
    this.#progressAt = this.#clock.monotonic()
    if (this.#isFilled || !this.#isTried) return
    if (this.#isStarting && this.#refusal !== undefined) return
    if (this.#serverClock?.isKnown !== true) return
    if (!this.#followers.every(({ hasRead }) => hasRead)) return
    if (!this.#pieces.every(({ isWhole }) => isWhole)) return
    this.#isFilled = true
    // It was started anew while nobody watched, and this host may have a disk.
    if (this.#pieces.every(({ isEmpty }) => isEmpty)) this.#parts.lost()
  }

  async #write(
    name: Buffer,
    { expiresAt, tombstone }: CacheRecord,
    sealed: Buffer,
    mayReplace: Buffer,
    level: WriteLevel,
    budget: number,
  ): Promise<{ there: Reply; isDone: boolean }> {
    const part = this.#places.partOf(name)
    // A deletion must not end before what it deletes, by any clock.
    const end = String(expiresAt + (tombstone ? clockSlack : 0))
    const [what, keys, values] =
      part === undefined
        ? [writeAlone, [this.#places.keyOf(name)], [sealed, end, mayReplace]]
        : [
            writeInPart,
            [part.records, part.ends, part.log],
            [name, sealed, end, mayReplace, String(longestInLog)],
          ]
    const isWaited = level !== 'local' && level !== 'one'
    const written = isWaited
      ? this.#masters.write(what, keys, values, { budget })
      : this.#masters.run(what, keys, values, { budget }).then(asWritten)
    const own = this.#pieces.find(piece => piece.keys === part)?.own
    const { reply, isAcknowledged } = await (own?.note(name, sealed, written) ?? written)
    return { there: reply, isDone: isAcknowledged }
  }

  #open(name: Buffer, sealed: Reply): CacheRecord | undefined {
    if (sealed === null) return undefined
    const record = Buffer.isBuffer(sealed)
      ? this.#parts.sealer.open(name, sealed)
      : undefined
    if (record === undefined) this.#foreign += 1
    return record
  }
}

function asWritten(reply: Reply): Written {
  return { reply, isAcknowledged: true }
}

const nothing = Buffer.alloc(0)
