import { Shares } from '../limit/shares.ts'

export interface SlotOptions {
  /** Requests at a time. */
  readonly maxRequests: number
  /** Tunnels at a time, such as WebSockets. Default: as many as requests. */
  readonly maxTunnels?: number | undefined
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
  readonly #pools: { readonly [pool in Pool]: Shares }

  constructor({ maxRequests, maxTunnels = maxRequests, share = 1 }: SlotOptions) {
    this.#pools = {
      request: new Shares({ most: maxRequests, share }),
      held: new Shares({ most: maxRequests, share }),
      tunnel: new Shares({ most: maxTunnels, share }),
    }
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

  /** A slot, or the limit that is in the way. Without a client only the whole counts. */
  take(use: SlotUse, client: string | undefined): Slot | SlotLimit {
    const slot = new Slot(this.#pools, client)
    return slot.become(use) ?? slot
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
  readonly #pools: { readonly [pool in Pool]: Shares }
  readonly #client: string | undefined
  #taken: readonly Pool[] = []

  constructor(pools: { readonly [pool in Pool]: Shares }, client: string | undefined) {
    this.#pools = pools
    this.#client = client
  }

  /** Goes over to another use; answers the limit that is in the way, if any, and stays then. */
  become(use: SlotUse): SlotLimit | undefined {
    const wanted = poolsOf[use]
    const taken: Pool[] = []
    for (const pool of wanted) {
      if (this.#taken.includes(pool)) continue
      if (this.#pools[pool].take(this.#client)) taken.push(pool)
      else {
        this.#giveBack(taken)
        return pool === 'tunnel' ? 'maxTunnels' : 'maxBackendRequests'
      }
    }
    this.#giveBack(this.#taken.filter(pool => !wanted.includes(pool)))
    this.#taken = wanted
    return undefined
  }

  release(): void {
    this.#giveBack(this.#taken)
    this.#taken = []
  }

  #giveBack(pools: readonly Pool[]): void {
    for (const pool of pools) this.#pools[pool].release(this.#client)
  }
}
