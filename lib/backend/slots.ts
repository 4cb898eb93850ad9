import { type Clock, systemClock } from '../clock.ts'
import { Shares } from '../limit/shares.ts'
import { AdaptiveLimit } from './adaptive-limit.ts'

export interface SlotOptions {
  /** Requests at a time. */
  readonly maxRequests: number
  /** Tunnels at a time, such as WebSockets. Default: as many as requests. */
  readonly maxTunnels?: number | undefined
  /** Requests that wait for one of those. Default: none. */
  readonly maxQueued?: number | undefined
  /** `maxRequests` is found out by latency, and is the most that it becomes. */
  readonly adaptive?: boolean | undefined
  readonly clock?: Clock | undefined
  /** How much of each one client may have when no other has any, to 1. Default: all of it. */
  readonly share?: number | undefined
}

/**
 * - `request`: the backend is at work on it.
 * - `held`: its client holds the body back until it is asked for it (Expect: 100-continue): a
 *   connection stands ready, and the backend has heard nothing yet.
 * - `upgrade`: a request that may become a tunnel.
 * - `tunnel`: it has become one. It may last for hours and be silent all the while.
 */
export type SlotUse = 'request' | 'held' | 'upgrade' | 'tunnel'

/** The option that is in the way. */
export type SlotLimit = 'maxBackendRequests' | 'maxTunnels'

/**
 * What clients may have of a backend at a time, of which no client gets all. What costs the
 * backend nothing but a connection is counted apart from what it works on.
 */
export class Slots {
  readonly share: number
  readonly maxQueued: number
  readonly #pools: { readonly [pool in Pool]: Shares }
  readonly #adaptive: AdaptiveLimit | undefined
  readonly #clock: Clock
  readonly #listeners: (() => void)[] = []
  /** Requests that wait for one; whoever keeps the line says so. */
  waiting = 0

  constructor(options: SlotOptions) {
    const { maxRequests, maxTunnels = maxRequests, maxQueued = 0, share = 1 } = options
    this.share = share
    this.maxQueued = maxQueued
    this.#clock = options.clock ?? systemClock
    if (options.adaptive === true) this.#adaptive = new AdaptiveLimit(maxRequests)
    const most = this.#adaptive?.limit ?? maxRequests
    this.#pools = {
      request: new Shares({ most, share }),
      held: new Shares({ most: maxRequests, share }),
      tunnel: new Shares({ most: maxTunnels, share }),
    }
  }

  /** A slot, or the limit that is in the way. Without a client only the whole counts. */
  take(use: SlotUse, client: string | undefined): Slot | SlotLimit {
    const began = this.#adaptive === undefined ? 0 : this.#clock.monotonic()
    const slot = new Slot(this, this.#pools, client, began)
    return slot.become(use) ?? slot
  }

  /** Requests that the backend is at work on. */
  get inFlight(): number {
    return this.#pools.request.used
  }

  /** How many of each there are now. */
  get used(): { readonly [pool in Pool]: number } {
    const { request, held, tunnel } = this.#pools
    return { request: request.used, held: held.used, tunnel: tunnel.used }
  }

  /** Whether `take` would answer a slot now. */
  hasRoom(use: SlotUse, client: string | undefined): boolean {
    return poolsOf[use].every(pool => this.#pools[pool].hasRoom(client))
  }

  /** `listener` is called whenever there may be more room than before. */
  onRoom(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Requests at a time, as things are. */
  get maxRequests(): number {
    return this.#pools.request.most
  }

  /** For slots: there may be more room than before. */
  freed(): void {
    for (const listener of this.#listeners) listener()
  }

  /** For slots: the backend has begun to answer a request that it was given at `began`. */
  answered(began: number): void {
    const { share } = this
    const adaptive = this.#adaptive
    const { request } = this.#pools
    const took = this.#clock.monotonic() - began
    if (!adaptive?.answered(took, request.used)) return
    request.resize({ most: adaptive.limit, share })
    this.freed()
  }
}

type Pool = 'request' | 'held' | 'tunnel'

const poolsOf: { readonly [use in SlotUse]: readonly Pool[] } = {
  request: ['request'],
  held: ['held'],
  upgrade: ['request', 'tunnel'],
  tunnel: ['tunnel'],
}

/** One request's part of a backend. To be released once. */
export class Slot {
  readonly #slots: Slots
  readonly #pools: { readonly [pool in Pool]: Shares }
  readonly #client: string | undefined
  readonly #began: number
  #taken: readonly Pool[] = []

  /** `began`: monotonic milliseconds. */
  constructor(
    slots: Slots,
    pools: { readonly [pool in Pool]: Shares },
    client: string | undefined,
    began: number,
  ) {
    this.#slots = slots
    this.#pools = pools
    this.#client = client
    this.#began = began
  }

  /** Goes over to another use; answers the limit that is in the way, if any, and stays then. */
  become(use: SlotUse): SlotLimit | undefined {
    const wanted = poolsOf[use]
    if (this.#taken === wanted) return undefined
    const taken: Pool[] = []
    for (const pool of wanted) {
      if (this.#taken.includes(pool)) continue
      if (this.#pools[pool].take(this.#client)) taken.push(pool)
      else {
        this.#giveBack(taken)
        return pool === 'tunnel' ? 'maxTunnels' : 'maxBackendRequests'
      }
    }
    const given = this.#taken.filter(pool => !wanted.includes(pool))
    this.#giveBack(given)
    this.#taken = wanted
    if (given.length > 0) this.#slots.freed()
    return undefined
  }

  /** The backend has begun to answer. */
  answered(): void {
    this.#slots.answered(this.#began)
  }

  release(): void {
    this.#giveBack(this.#taken)
    this.#taken = []
    this.#slots.freed()
  }

  #giveBack(pools: readonly Pool[]): void {
    for (const pool of pools) this.#pools[pool].release(this.#client)
  }
}
