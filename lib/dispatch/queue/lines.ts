import type { Backend } from '../../backend/backend.ts'
import type { SlotUse } from '../../backend/slots.ts'
import { Shares } from '../../limit/shares.ts'
import { type Priority, priorities } from './urgency.ts'
import { type Waiter, WaitLine } from './wait-line.ts'

/** Somebody who waits for a slot of any of some backends. */
export interface SlotWaiter extends Waiter {
  readonly use: SlotUse
  readonly network: string | undefined
  /**
   * This backend has room, or is not well any more. Room is taken by the time this returns, or never
   * will be.
   */
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

/**
 * Those that wait for one backend. Whenever it has a slot back, whoever is next gets it.
 *
 * What waits of lower priority counts as room: in a line that is full one of those gives its place
 * up. So nobody is kept out by what goes after him, and each priority is shared out among networks
 * as if those below it were not there.
 */
class Line {
  readonly #backend: Backend
  readonly #waiting = new WaitLine<SlotWaiter>()
  /** By priority: of all that wait of it, or of a higher one. */
  readonly #shares: ReadonlyMap<Priority, Shares>
  #giving = false

  constructor(backend: Backend) {
    this.#backend = backend
    const { maxQueued, share } = backend.slots
    const options = { most: maxQueued, share }
    this.#shares = new Map(priorities.map(priority => [priority, new Shares(options)]))
    backend.slots.onRoom(() => this.#give())
    backend.onDown(() => this.#sendAway())
  }

  join(waiter: SlotWaiter): boolean {
    const { urgency, network } = waiter
    if (this.#shares.get(urgency.priority)?.hasRoom(network) !== true) return false
    if (this.#waiting.size >= this.#backend.slots.maxQueued) this.#displace(waiter)
    this.#waiting.add(waiter)
    for (const shares of this.#sharesOf(waiter)) shares.add(network)
    this.#tell()
    return true
  }

  leave(waiter: SlotWaiter): void {
    if (!this.#waiting.remove(waiter)) return
    this.#left(waiter)
  }

  #displace({ urgency }: SlotWaiter): void {
    const displaced = this.#waiting.takeBelow(urgency.priority, network =>
      // Of those that no network has nobody knows how many they are.
      Math.max(1, this.#shares.get('low')?.heldBy(network) ?? 0),
    )
    if (displaced === undefined) return
    this.#left(displaced)
    displaced.displaced(this.#backend)
  }

  #left(waiter: SlotWaiter): void {
    for (const shares of this.#sharesOf(waiter)) shares.release(waiter.network)
    this.#tell()
  }

  /** Those that it counts for. */
  #sharesOf({ urgency }: SlotWaiter): readonly Shares[] {
    return [...this.#shares.values()].slice(priorities.indexOf(urgency.priority))
  }

  /** What it is at work on may take long to come to an end, and others are well. */
  #sendAway(): void {
    const all: SlotWaiter[] = []
    for (;;) {
      const waiter = this.#waiting.next(() => true)
      if (waiter === undefined) break
      this.#left(waiter)
      all.push(waiter)
    }
    for (const waiter of all) waiter.go(this.#backend)
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
        this.#left(waiter)
        waiter.go(this.#backend)
      }
    } finally {
      this.#giving = false
    }
  }
}
