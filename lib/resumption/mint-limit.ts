import { isLoopback, networkOf } from '../limit/network.ts'
import { RateLimit } from '../limit/rate-limit.ts'

/** A resumed connection brings a new session too, and has proved more than a new one. */
const resumedTokens = 0.1

/**
 * How many handshakes of one address may fill the table in a minute (pitfall: `newSession` as
 * a way to exhaust memory). The table is bounded by itself; this keeps one client from pushing
 * everybody else's sessions out of it. Beyond the limit handshakes work as ever, and nothing
 * is stored of them.
 *
 * As long as the whole member stays below half of the limit nobody's address is looked at: to
 * ask a socket for it the first time takes longer than all the rest.
 */
export class MintLimit {
  readonly #total: RateLimit
  readonly #addresses: RateLimit

  /** `perMinute`: full handshakes; resumed ones count a tenth. 0 and Infinity: no limit. */
  constructor(perMinute: number) {
    this.#total = new RateLimit({ count: perMinute / 2, window: 60_000 })
    this.#addresses = new RateLimit({ count: perMinute, window: 60_000 })
  }

  /**
   * Whether the session of one more handshake may be stored. Never limited is what comes from
   * this machine, where all clients of a forwarder share an address, and what has none.
   */
  allows(
    socket: { readonly remoteAddress?: string | undefined },
    reused: boolean,
    now: number,
  ): boolean {
    if (!this.#addresses.limits) return true
    const tokens = reused ? resumedTokens : 1
    if (this.#total.take('', now, tokens)) return true
    const { remoteAddress } = socket
    if (remoteAddress === undefined) return true
    const network = networkOf(remoteAddress)
    return isLoopback(network) || this.#addresses.take(network, now, tokens)
  }
}
