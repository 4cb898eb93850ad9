import { Holdings } from '../../limit/holdings.ts'
import { isLoopback, networkOf } from '../../limit/network.ts'
import { RateLimit } from '../../limit/rate-limit.ts'

/** A resumed connection brings a new session too, and has proved more than a new one. */
const resumedTokens = 0.1

/** What a record takes beside the session: its header, key, policy, names and place. */
const overhead = 512

export interface MintLimitOptions {
  /**
   * Full handshakes of an address in a minute whose sessions are stored, resumed ones count a
   * tenth; 0 and Infinity: no limit. Undefined: whatever the table has room for.
   */
  readonly perMinute: number | undefined
  /** Bytes of sessions that one network may hold through this member. */
  readonly room: () => number
  /** A session is gone so long after it was stored, in milliseconds. */
  readonly sessionTimeout: number
}

type Peer = { readonly remoteAddress?: string | undefined }

/**
 * How many sessions of one address may be stored (pitfall: `newSession` as a way to exhaust
 * memory). The table is bounded by itself; this keeps one client from pushing everybody else's
 * sessions out of it. Beyond the limit handshakes work as ever, and nothing is stored of them.
 *
 * What one network has stored here in the life of a session is never more than its part of
 * what is still free, so however long it goes on, something stays free for the others, and
 * none of theirs is evicted for it. While there is room there is no limit to speak of.
 *
 * With a limit by number nobody's address is looked at as long as the whole member stays below
 * half of it: to ask a socket for it the first time takes longer than all the rest.
 */
export class MintLimit {
  readonly #rates: Rates | undefined
  readonly #holdings: Holdings
  readonly #room: () => number

  constructor({ perMinute, room, sessionTimeout }: MintLimitOptions) {
    this.#rates = perMinute === undefined ? undefined : new Rates(perMinute)
    this.#holdings = new Holdings({ life: sessionTimeout })
    this.#room = room
  }

  /** Whether the sessions of one more handshake may be stored, of which this is the first. */
  allows(socket: Peer, reused: boolean, now: number, session: Buffer): boolean {
    if (this.#rates !== undefined) return this.#rates.allow(socket, reused, now)
    const { remoteAddress } = socket
    if (remoteAddress === undefined) return true
    const network = networkOf(remoteAddress)
    const bytes = session.length + overhead
    if (this.#holdings.heldBy(network, now) + bytes > this.#room()) return false
    this.#holdings.add(network, bytes, now)
    return true
  }

  /** One more session of a handshake that was allowed to store. */
  add({ remoteAddress }: Peer, now: number, session: Buffer): void {
    if (this.#rates !== undefined || remoteAddress === undefined) return
    this.#holdings.add(networkOf(remoteAddress), session.length + overhead, now)
  }
}

/**
 * Limits by number. Never limited is what comes from this machine, where all clients of a
 * forwarder share an address, and what has none.
 */
class Rates {
  readonly #total: RateLimit
  readonly #addresses: RateLimit

  constructor(perMinute: number) {
    this.#total = new RateLimit({ count: perMinute / 2, window: 60_000 })
    this.#addresses = new RateLimit({ count: perMinute, window: 60_000 })
  }

  allow(socket: Peer, reused: boolean, now: number): boolean {
    if (!this.#addresses.limits) return true
    const tokens = reused ? resumedTokens : 1
    if (this.#total.take('', now, tokens)) return true
    const { remoteAddress } = socket
    if (remoteAddress === undefined) return true
    const network = networkOf(remoteAddress)
    return isLoopback(network) || this.#addresses.take(network, now, tokens)
  }
}
