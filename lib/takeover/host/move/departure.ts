import type { Clock } from '../../../clock.ts'
import type { Log } from '../../../log.ts'
import type { Heartbeats, HeldAddress } from '../election/heartbeats.ts'
import { lineOf } from '../election/succession.ts'
import type { Holding } from './holding.ts'
import type { Moves } from './moves.ts'

export interface DepartureParts {
  readonly self: string
  readonly clock: Clock
  readonly log: Log
  readonly heartbeats: Heartbeats
  readonly moves: Moves
  /** See HostTakeoverParts. */
  holding(address: string): Holding | undefined
  /** Takes an address off this host; throws when it stays. */
  letGo(address: string): void
}

/** Milliseconds between two looks at what keeps an address from being given, */
const look = 250
/** and for whom it was given to, to have it. */
const arrival = 5_000

/** A member that leaves gives its addresses to others, one after the other. */
export class Departure {
  readonly #parts: DepartureParts
  #closed = false

  constructor(parts: DepartureParts) {
    this.#parts = parts
  }

  /** Waits for connections that can't be moved, `patience` ms at most, and then cuts them. */
  async give(addresses: readonly HeldAddress[], patience: number): Promise<void> {
    const until = this.#parts.clock.monotonic() + patience
    for (const held of addresses) {
      const holding = this.#parts.holding(held.address)
      if (holding !== undefined) await this.#give(held, holding, until)
    }
  }

  close(): void {
    this.#closed = true
  }

  async #give(held: HeldAddress, holding: Holding, until: number): Promise<void> {
    const { log, clock, moves, letGo } = this.#parts
    const { address } = held
    for (let tries = 0; !this.#closed; tries++) {
      const isLast = clock.monotonic() >= until
      if (isLast || holding.lasting() === 0) {
        const to = this.#successorOf(address, tries)
        if (to === undefined) {
          log.warn({ address }, 'nobody is there to give a virtual address to')
          return
        }
        const given = await moves.give(held, to, holding, () => letGo(address), isLast)
        if (typeof given !== 'string') {
          log.info({ member: to, address, ...given }, 'a virtual address was given away')
          await this.#isHadBy(to, address)
          return
        }
        const facts = { member: to, address, reason: given }
        log.warn(facts, 'a virtual address was not given')
      }
      if (isLast) return
      await this.#wait(look)
    }
  }

  /** Whose it is by right, or one of the others in its order. */
  #successorOf(address: string, tries: number): string | undefined {
    const { self, clock, heartbeats } = this.#parts
    const now = clock.monotonic()
    const line = lineOf(
      address,
      heartbeats.live(now).filter(member => member !== self),
    )
    const home = heartbeats.homeOf(address, now)
    const all = home === undefined ? line : [home, ...line.filter(each => each !== home)]
    return all[tries % all.length]
  }

  /** This member stays until then: so the word that it is given reaches whoever takes it. */
  async #isHadBy(member: string, address: string): Promise<void> {
    const { log, clock, heartbeats } = this.#parts
    const until = clock.monotonic() + arrival
    while (clock.monotonic() < until && !this.#closed) {
      const claim = { address, epoch: Number.MAX_SAFE_INTEGER }
      if (heartbeats.holds(member, claim, clock.monotonic())) return
      await this.#wait(10)
    }
    log.error({ member, address }, 'a virtual address was given, and has not come')
  }

  #wait(ms: number): Promise<void> {
    return new Promise(resolve => this.#parts.clock.after(ms, resolve))
  }
}
