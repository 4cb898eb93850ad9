import { randomBytes } from 'node:crypto'
import type { WriteLevel } from '../../cache/tier.ts'
import type { Clock, Timer } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { EpochKey, masterLength } from './epoch-key.ts'
import type { TicketKeys } from './sealed-tickets.ts'
import type { TicketBoard } from './ticket-board.ts'
import type { EpochKeys, Moment } from './ticket-epoch.ts'
import { type KeyringAction, TicketKeyring } from './ticket-keyring.ts'
import {
  decodeTicketRecord,
  encodeTicketRecord,
  TicketSeal,
  ticketRecordKey,
} from './ticket-record.ts'
import { TicketSchedule, type TicketTimesOptions } from './ticket-schedule.ts'

export interface TicketRingOptions {
  readonly board: TicketBoard
  /** 32 bytes, the same on every member. */
  readonly secret: Buffer
  readonly farmName: string
  readonly clock: Clock
  readonly log: Log
  readonly times?: TicketTimesOptions
  /** Between two looks at the clock. Default 1 s, and less where keys last for seconds. */
  readonly interval?: number
  /** Default that of node:crypto. */
  readonly random?: (size: number) => Buffer
}

/** What may be told of the ring. Times in milliseconds. */
export interface TicketRingStatus {
  /** The members have agreed on the key that seals now. */
  readonly shared: boolean
  readonly epoch: number
  readonly keys: readonly {
    readonly epoch: number
    readonly count: number
    /** Wall time from which on these keys are void. */
    readonly endsAt: number
  }[]
}

/**
 * The ticket keys of this member, kept in step with those of the farm. They are drawn at
 * random, live in memory and are zeroed in time: who learns the farm secret later can't read
 * what old tickets protected, as it could if keys were derived from that secret.
 *
 * The board is looked at when it changes, and when an epoch begins: others may have posted of
 * one that was still too far ahead.
 */
export class TicketRing implements TicketKeys {
  readonly #board: TicketBoard
  readonly #clock: Clock
  readonly #log: Log
  readonly #schedule: TicketSchedule
  readonly #seal: TicketSeal
  readonly #random: (size: number) => Buffer
  readonly #interval: number
  readonly #keyring: TicketKeyring
  /** The values last read, so that equal ones are not opened again. */
  readonly #seen = new Map<number, Buffer>()
  readonly #unwatch: () => void
  #sealing: EpochKey | undefined
  /** When the board was last looked at. */
  #lookedIn: number | undefined
  #timer: Timer | undefined
  #closed = false

  constructor(options: TicketRingOptions) {
    const { random = randomBytes } = options
    this.#board = options.board
    this.#clock = options.clock
    this.#log = options.log
    this.#schedule = new TicketSchedule(options.times)
    this.#seal = new TicketSeal(options.secret, options.farmName, random)
    this.#random = random
    const { period } = this.#schedule.times
    this.#interval = options.interval ?? Math.min(1_000, Math.max(250, period / 8))
    this.#keyring = new TicketKeyring(
      this.#schedule,
      () => random(4).readUInt32BE(0) / 2 ** 32,
    )
    this.#unwatch = this.#board.watch(() => this.#notice())
  }

  /**
   * Takes over the keys that the farm has. To be called when this member is up to date. A farm
   * without keys gets some within seconds; one of a single member (`settle` 0) at once.
   */
  async start(): Promise<void> {
    this.#look()
    const { period } = this.#schedule.times
    const missing = this.#keyring
      .window(this.#now())
      .filter(epoch => !this.#keyring.epoch(epoch).hasLive())
    await Promise.all(
      missing.map(epoch => this.#board.ask(ticketRecordKey(period, epoch), askBudget)),
    )
    if (this.#closed) return
    if (this.#schedule.times.settle === 0) this.#makeMissing()
    this.#tick()
  }

  sealing(): EpochKey | undefined {
    return this.#closed ? undefined : this.#keyring.sealing(this.#now())
  }

  opening(): EpochKey[] {
    return this.#closed ? [] : this.#keyring.opening(this.#now())
  }

  /**
   * Makes every ticket of the farm worthless: withdraws all keys, here at once and on each
   * member as it hears of it, and makes new ones. True when every reachable member has been
   * told.
   */
  async withdrawAll(): Promise<boolean> {
    const at = this.#now()
    const current = this.#schedule.epochAt(at.wall)
    const told = await Promise.all(
      this.#keyring.window(at).map(epoch => {
        const keys = this.#keyring.epoch(epoch)
        const place = this.#place(epoch)
        const live = keys.live()
        for (const { entry } of live) {
          const withdrawal = this.#seal.withdrawal(place, entry)
          this.#keyring.add(epoch, withdrawal, undefined, at)
        }
        if (live.length > 0 && epoch >= current) this.#make(keys, at)
        return live.length > 0 ? this.#post(keys, 'all') : true
      }),
    )
    this.#log.warn({ epoch: current }, 'all ticket keys withdrawn')
    if (!this.#closed) this.#announce()
    return told.every(reached => reached)
  }

  status(): TicketRingStatus {
    const at = this.#now()
    return {
      shared: this.#keyring.sealing(at) !== undefined,
      epoch: this.#schedule.epochAt(at.wall),
      keys: this.#keyring
        .window(at)
        .map(epoch => ({
          epoch,
          count: this.#keyring.epoch(epoch).live().length,
          endsAt: this.#schedule.endOf(epoch),
        }))
        .filter(({ count }) => count > 0),
    }
  }

  /** Zeroes all keys. Tickets can't be made or read any more. */
  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#unwatch()
    this.#keyring.destroy()
    this.#seen.clear()
  }

  /** Keys are made, and zeroed in time, whatever becomes of the board. */
  #tick(): void {
    if (this.#closed) return
    const at = this.#now()
    if (this.#schedule.epochAt(at.wall) !== this.#lookedIn) this.#look()
    for (const action of this.#keyring.tick(at)) this.#do(action, at)
    this.#announce()
    this.#timer = this.#clock.after(this.#interval, () => this.#tick())
  }

  /** Somebody has posted something: withdrawn keys are to be gone at once. */
  #notice(): void {
    this.#look()
    this.#announce()
  }

  #look(): void {
    try {
      this.#readBoard()
    } catch (error) {
      const { code } = error as { code?: string }
      this.#log.error({ code }, 'the ticket keys of the farm can not be read')
    }
  }

  #do(action: KeyringAction, at: Moment): void {
    const { epoch } = action
    switch (action.kind) {
      case 'make': {
        const keys = this.#keyring.epoch(epoch)
        this.#make(keys, at)
        void this.#post(keys)
        break
      }
      case 'ask':
        void this.#board.ask(ticketRecordKey(this.#place(epoch).period, epoch), askBudget)
        break
      case 'post':
        void this.#post(this.#keyring.epoch(epoch))
        break
      case 'dropped':
        this.#log.debug({ epoch, count: action.count }, 'old ticket keys zeroed')
        break
    }
  }

  #readBoard(): void {
    const at = this.#now()
    this.#lookedIn = this.#schedule.epochAt(at.wall)
    const window = this.#keyring.window(at)
    for (const epoch of this.#seen.keys()) {
      if (!window.includes(epoch)) this.#seen.delete(epoch)
    }
    for (const epoch of window) {
      const value = this.#board.read(ticketRecordKey(this.#place(epoch).period, epoch))
      const seen = this.#seen.get(epoch)
      if (value === undefined) {
        if (seen !== undefined) {
          this.#seen.delete(epoch)
          this.#keyring.epoch(epoch).tableHolds([])
        }
      } else if (seen?.equals(value) !== true) {
        this.#seen.set(epoch, Buffer.from(value))
        this.#learn(epoch, value, at)
      }
    }
  }

  #learn(epoch: number, value: Buffer, at: Moment): void {
    const entries = decodeTicketRecord(value)
    if (entries === undefined) {
      this.#log.warn({ epoch }, 'a record of ticket keys is malformed')
      return
    }
    for (const entry of entries) {
      if (!this.#keyring.wants(epoch, entry, at)) continue
      const master = this.#seal.open(this.#place(epoch), entry)
      if (master === undefined) {
        this.#log.warn({ epoch }, 'a ticket key was sealed under another farm secret')
        continue
      }
      if (entry.withdrawn) master.fill(0)
      this.#keyring.add(epoch, entry, entry.withdrawn ? undefined : keyOf(master), at)
    }
    this.#keyring.epoch(epoch).tableHolds(entries)
  }

  #makeMissing(): void {
    const at = this.#now()
    const keys = this.#keyring.epoch(this.#schedule.epochAt(at.wall))
    if (!keys.hasLive()) this.#make(keys, at)
  }

  #make(keys: EpochKeys, at: Moment): void {
    const master = this.#random(masterLength)
    const entry = this.#seal.seal(this.#place(keys.epoch), master, at.wall)
    this.#keyring.add(keys.epoch, entry, new EpochKey(master), at)
    this.#log.debug({ epoch: keys.epoch }, 'made a ticket key')
  }

  #post(keys: EpochKeys, level: WriteLevel = 'local'): Promise<boolean> {
    const { period } = this.#schedule.times
    const { epoch } = keys
    return this.#board.post(
      ticketRecordKey(period, epoch),
      encodeTicketRecord(keys.entries),
      {
        weight: keys.weight,
        expiresAt: this.#schedule.endOf(epoch),
        datedAt: this.#schedule.startOf(epoch - 2),
        level,
      },
    )
  }

  #announce(): void {
    const now = this.#keyring.sealing(this.#now())
    if (now === this.#sealing || now === undefined) return
    this.#sealing = now
    const { epoch } = this.status()
    this.#log.info({ epoch }, 'another ticket key seals')
  }

  #place(epoch: number): { readonly period: number; readonly epoch: number } {
    return { period: this.#schedule.times.period, epoch }
  }

  #now(): Moment {
    return { wall: this.#clock.now(), monotonic: this.#clock.monotonic() }
  }
}

const askBudget = 1_000

/** Undefined for what no honest member posts. */
function keyOf(master: Buffer): EpochKey | undefined {
  try {
    return new EpochKey(master)
  } catch {
    return undefined
  }
}
