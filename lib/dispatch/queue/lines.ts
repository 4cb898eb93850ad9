import type { Backend } from '../../backend/backend.ts'
import type { SlotUse } from '../../backend/slots.ts'
import { Shares } from '../../limit/shares.ts'
import { type Waiter, WaitLine } from './wait-line.ts'

/** Somebody who waits for a slot of any of some backends. */
export interface SlotWaiter extends Waiter {
  readonly use: SlotUse
  readonly network: string | undefined
  /** This backend has room. It is taken by the time this returns, or never will be. */
  go(backend: Backend): void
  /** It does not stand in this line any more: one that goes first has its place. */
  displaced(backend: Backend): void
}

/** The lines before backends, made when somebody waits. */
export class Lines {
  readonly #lines = new WeakMap<Backend, Line>()

  /** False when there is no room in the line for this one. */
  join(backend: Backend, waiter: SlotWaiter): boolean {
    let line = this.#lines.get(backend)
    if (line === undefined) {
      line = new Line(backend)
      this.#lines.set(backend, line)
    }
    return line.join(waiter)
  }

  leave(backend: Backend, waiter: SlotWaiter): void {
    this.#lines.get(backend)?.leave(waiter)
  }
}

/** Those that wait for one backend. Whenever it has a slot back, whoever is next gets it. */
class Line {
  readonly #backend: Backend
  readonly #waiting = new WaitLine<SlotWaiter>()
  readonly #shares: Shares
  #giving = false

  constructor(backend: Backend) {
    this.#backend = backend
    const { maxQueued, share } = backend.slots
    this.#shares = new Shares({ most: maxQueued, share })
    backend.slots.onRoom(() => this.#give())
  }

  join(waiter: SlotWaiter): boolean {
    if (!this.#shares.take(waiter.network) && !this.#displace(waiter)) return false
    this.#waiting.add(waiter)
    this.#tell()
    return true
  }

  /**
   * A line that is full of what can wait keeps nobody out that goes first: one of lower priority
   * gives its place up, of the network that has most of the line. That is the waiter's own, or
   * one that has more than it, so that nobody gets more of the line in this way than the greediest.
   */
  #displace({ network, urgency, place }: SlotWaiter): boolean {
    const shares = this.#shares
    const own = shares.heldBy(place.network)
    const displaced = this.#waiting.takeBelow(urgency.priority, name => {
      const held = shares.heldBy(name)
      // Of those that no network has nobody knows how many they are.
      const may = name === place.network || name === '' || held > own
      return may ? Math.max(1, held) : 0
    })
    if (displaced === undefined) return false
    shares.pass(displaced.network, network)
    displaced.displaced(this.#backend)
    return true
  }

  leave(waiter: SlotWaiter): void {
    if (!this.#waiting.remove(waiter)) return
    this.#shares.release(waiter.network)
    this.#tell()
  }

  #tell(): void {
    this.#backend.slots.waiting = this.#waiting.size
  }

  #give(): void {
    // A slot that is taken and given back at once comes here again.
    if (this.#giving || this.#waiting.size === 0) return
    this.#giving = true
    try {
      for (;;) {
        const waiter = this.#waiting.next(({ use, network }) =>
          this.#backend.slots.hasRoom(use, network),
        )
        if (waiter === undefined) return
        this.#shares.release(waiter.network)
        this.#tell()
        waiter.go(this.#backend)
      }
    } finally {
      this.#giving = false
    }
  }
}
