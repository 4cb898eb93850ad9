import { createHmac } from 'node:crypto'
import type { Cache } from '../../cache/cache.ts'
import type { Clock } from '../../clock.ts'
import { networkOf } from '../../limit/network.ts'
import { tables } from '../../record/key.ts'
import { Untried } from './untried.ts'

export interface AttemptLimits {
  /** Failed log-ins of one user from one address. Default 10. */
  readonly perUser?: number | undefined
  /** Failed log-ins from one address, whoever they name. Default 100. */
  readonly perAddress?: number | undefined
  /** Milliseconds in which they count. Default 300 000. */
  readonly window?: number | undefined
}

/** An attempt that may be made. It counts as failed until it is settled. */
export interface Attempt {
  settle(outcome: 'failed' | 'not-failed'): void
}

/** A place among those that wait until one of the attempts before them is settled. */
export interface Turn {
  /** Resolves when it is worth to begin anew. */
  readonly come: Promise<void>
  /** It is not waited for any more, or was used: whoever is next has it. */
  leave(): void
}

/**
 * Failed log-ins, counted farm-wide in virtual table `farm`. Nothing counts per user alone:
 * else anybody could lock a user out from everywhere.
 *
 * Each member counts in a slot of its own, so that members that count at the same time do not
 * overwrite each other; the sum over the slots is the count. Two members may draw the same
 * slot: then some failures may be lost, and the limit is at worst that of one member each.
 *
 * key:    "fail" | hash of what is counted (16 B) | slot (1 B)
 *
 * value:  0               4                 6                  8
 *         +---------------+-----------------+------------------+
 *         | window number | failures in it  | in the one before|
 *         | u32           | u16             | u16              |
 *         +---------------+-----------------+------------------+
 *
 * The window slides: of the window before, the share counts that still overlaps.
 */
export class Attempts {
  readonly #cache: Cache
  readonly #clock: Clock
  readonly #key: Buffer
  readonly #slot: number
  readonly #window: number
  readonly #perUser: number
  readonly #perAddress: number
  /** Attempts that are being checked now, by what they would count for. */
  readonly #open = new Map<string, number>()
  /** Who waits for one of a user's, likewise. */
  readonly #waiting = new Map<string, Set<() => void>>()
  readonly #untried: Untried

  constructor(limits: AttemptLimits, context: AttemptsContext) {
    this.#cache = context.cache
    this.#clock = context.clock
    this.#key = context.key
    this.#slot = context.slot % slots
    this.#window = limits.window ?? 300_000
    this.#perUser = limits.perUser ?? 10
    this.#perAddress = limits.perAddress ?? 100
    this.#untried = new Untried(context.clock, this.#window)
  }

  /**
   * The attempt, or the seconds to wait before the next one; or a turn to wait for, while as many
   * of this user are being checked as may still fail.
   */
  begin(address: string | undefined, user: string | undefined): Attempt | Turn | number {
    const network = networkOf(address ?? '')
    const placed = this.#name('address', network)
    const named = user === undefined ? undefined : this.#name('user', network, user)
    const byAddress = this.#wait(placed, this.#perAddress, this.#openOf(placed))
    const byUser = named === undefined ? 0 : this.#wait(named, this.#perUser)
    if (byAddress > 0 && named) this.#untried.count(textOf(named))
    const wait = Math.max(byAddress, byUser)
    if (wait > 0) return wait
    // A client that opens many connections at once has one password for all of them.
    const open = named === undefined ? 0 : this.#openOf(named)
    if (named && open > 0 && this.#wait(named, this.#perUser, open) > 0)
      return this.#turn(textOf(named))
    // A password takes long to check: those being checked count, or a burst would get through
    // before the first has failed. Tokens are checked at once and come in bursts.
    const counted = named === undefined ? [placed] : [placed, named]
    const reserved = named === undefined ? [] : counted
    for (const name of reserved) this.#take(name, 1)
    let settled = false
    return {
      settle: outcome => {
        if (settled) return
        settled = true
        for (const name of counted) {
          if (outcome === 'failed') this.#count(name)
        }
        for (const name of reserved) this.#take(name, -1)
        if (named) this.#callNext(textOf(named))
      },
    }
  }

  /** Seconds until credentials of this user may be compared with what is remembered; 0 for now. */
  waitOf(address: string | undefined, user: string): number {
    const name = this.#name('user', networkOf(address ?? ''), user)
    const untried = this.#untried.wait(textOf(name), this.#perUser)
    const tried = this.#wait(name, this.#perUser)
    return Math.max(tried, Math.ceil(untried / 1_000))
  }

  #openOf(name: Buffer): number {
    return this.#open.get(textOf(name)) ?? 0
  }

  #take(name: Buffer, by: 1 | -1): void {
    const text = textOf(name)
    const open = this.#openOf(name) + by
    if (open > 0) this.#open.set(text, open)
    else this.#open.delete(text)
  }

  #turn(name: string): Turn {
    const waiting = this.#waiting.get(name) ?? new Set()
    this.#waiting.set(name, waiting)
    let call = () => {}
    const come = new Promise<void>(resolve => {
      call = resolve
    })
    waiting.add(call)
    const leave = () => {
      if (!waiting.delete(call)) this.#callNext(name)
      else if (waiting.size === 0) this.#waiting.delete(name)
    }
    return { come, leave }
  }

  #callNext(name: string): void {
    const waiting = this.#waiting.get(name)
    const [next] = waiting ?? []
    if (waiting === undefined || next === undefined) return
    waiting.delete(next)
    if (waiting.size === 0) this.#waiting.delete(name)
    next()
  }

  /** Seconds until another attempt is allowed; 0 for now. */
  #wait(name: Buffer, limit: number, open = 0): number {
    const now = this.#clock.now()
    const number = Math.floor(now / this.#window)
    const elapsed = now / this.#window - number
    let current = open
    let previous = 0
    for (let slot = 0; slot < slots; slot++) {
      const count = this.#read(name, slot, number)
      current += count.current
      previous += count.previous
    }
    if (current + previous * (1 - elapsed) < limit) return 0
    // When the overlap has shrunk enough: of the window before, or of this one later.
    const windows =
      current < limit
        ? 1 - (limit - current) / previous - elapsed
        : 2 - limit / current - elapsed
    // One millisecond more: at the limit itself it is not below it.
    return Math.max(1, Math.ceil((windows * this.#window + 1) / 1_000))
  }

  #count(name: Buffer): void {
    const number = Math.floor(this.#clock.now() / this.#window)
    const { current, previous } = this.#read(name, this.#slot, number)
    const value = Buffer.alloc(8)
    value.writeUInt32BE(number % 2 ** 32, 0)
    value.writeUInt16BE(Math.min(current + 1, 0xffff), 4)
    value.writeUInt16BE(previous, 6)
    const key = this.#keyOf(name, this.#slot)
    // Level local: the others hear of it, and nobody waits for them.
    const written = this.#cache.add(tables.farm, key, value, {
      ttl: 2 * this.#window,
      level: 'local',
    })
    void written
  }

  #read(
    name: Buffer,
    slot: number,
    number: number,
  ): { current: number; previous: number } {
    const value = this.#cache.getLocal(tables.farm, this.#keyOf(name, slot))?.value
    if (value?.length !== 8) return { current: 0, previous: 0 }
    const age = (number % 2 ** 32) - value.readUInt32BE(0)
    const current = value.readUInt16BE(4)
    // A member whose clock is ahead counts in the next window already.
    if (age <= 0) return { current, previous: value.readUInt16BE(6) }
    return { current: 0, previous: age === 1 ? current : 0 }
  }

  #keyOf(name: Buffer, slot: number): Buffer {
    return Buffer.concat([prefix, name, Buffer.from([slot])])
  }

  /** Keyed: the table tells neither who failed nor from where. */
  #name(...parts: string[]): Buffer {
    const mac = createHmac('sha256', this.#key)
    return mac.update(JSON.stringify(parts)).digest().subarray(0, 16)
  }
}

export interface AttemptsContext {
  readonly cache: Cache
  readonly clock: Clock
  readonly key: Buffer
  /** Any whole number; members should differ. */
  readonly slot: number
}

function textOf(name: Buffer): string {
  return name.toString('latin1')
}

const slots = 16
const prefix = Buffer.from('fail')
