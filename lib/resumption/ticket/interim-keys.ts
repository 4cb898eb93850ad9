import type { Moment } from './ticket-epoch.ts'
import type { RingKey, TicketKey } from './ticket-key.ts'

export interface InterimKeysOptions {
  /** Milliseconds. One key is for one slot, and opens tickets in the next one, too. */
  readonly slot: number
  /** The key of a slot, the same on every member. */
  readonly derive: (slot: number) => RingKey
}

/**
 * Ticket keys for the first seconds of a farm. Until its members have agreed on a random key,
 * each would seal with one that nobody else knows. These are derived from the farm secret and
 * the time, so that all members have them without a word.
 *
 * The price: who learns the secret later can open tickets of those seconds. So they are used
 * for nothing else, their time is short, and a withdrawal ends them for good: a farm that is
 * started anew knows of no withdrawal, but then tickets from before it are too old.
 */
export class InterimKeys {
  readonly #options: InterimKeysOptions
  readonly #keys = new Map<number, { readonly key: RingKey; readonly until: number }>()
  /** The wall clock may be turned back; that must not bring an old slot back. */
  #newest = 0
  #ended = false

  constructor(options: InterimKeysOptions) {
    this.#options = options
  }

  /** The key for new tickets, if there is one. */
  encrypting(at: Moment): RingKey | undefined {
    return this.#key(this.#slotAt(at), at)
  }

  /** The key with this name. Clocks of members may be a slot apart. */
  find(name: Buffer, scope: string, at: Moment): TicketKey | undefined {
    const now = this.#slotAt(at)
    for (const slot of [now, now - 1, now + 1]) {
      const key = this.#key(slot, at)?.for(scope)
      if (key?.name.equals(name)) return key
    }
    return undefined
  }

  /** Zeroes the keys whose time is up. */
  drop(at: Moment): void {
    const now = this.#slotAt(at)
    for (const [slot, { key, until }] of this.#keys) {
      if (Math.abs(slot - now) <= 1 && at.monotonic < until) continue
      key.destroy()
      this.#keys.delete(slot)
    }
  }

  /** Zeroes all keys; there are none from now on. */
  end(): void {
    this.#ended = true
    for (const { key } of this.#keys.values()) key.destroy()
    this.#keys.clear()
  }

  #slotAt({ wall }: Moment): number {
    const slot = Math.floor(wall / this.#options.slot)
    this.#newest = Math.max(this.#newest, slot)
    return slot
  }

  #key(slot: number, at: Moment): RingKey | undefined {
    if (this.#ended || slot < this.#newest - 1) return undefined
    const held = this.#keys.get(slot)
    if (held !== undefined) return at.monotonic < held.until ? held.key : undefined
    const key = this.#options.derive(slot)
    const until = at.monotonic + (slot + 2) * this.#options.slot - at.wall
    this.#keys.set(slot, { key, until })
    return key
  }
}
