import type { Handshake } from './handshake.ts'
import { type HandshakeCost, HandshakeMeter } from './handshake-cost.ts'

/** Every handshake counts once, as resumed from somewhere or as full for a cause. */
export class HandshakeCounters {
  readonly #counts = new Map<string, number>()
  /** By source, by cause: every handshake pays for the making of a name. */
  readonly #resumed = new Map<string, number>()
  readonly #full = new Map<string, number>()
  readonly #unstored = new Map<UnstoredCause, number>()
  readonly meter: HandshakeMeter = new HandshakeMeter()

  /** `cpu`: seconds that TLS took for it, where that was measured. */
  count(handshake: Handshake, cpu?: number): void {
    if (cpu !== undefined) this.meter.add(handshake.resumed !== false, cpu)
    if (handshake.resumed !== false) increment(this.#resumed, handshake.resumed)
    else increment(this.#full, handshake.cause ?? 'unknown')
  }

  /** A handshake that ended well, and whose session will not resume all the same. */
  countUnstored(cause: UnstoredCause): void {
    increment(this.#unstored, cause)
  }

  /** A connection that never got through its handshake. */
  countFailure(): void {
    increment(this.#counts, 'failed')
  }

  /** A connection that was no attempt at a handshake. */
  countNotTls(kind: NotTls): void {
    increment(this.#counts, `not-tls:${kind}`)
  }

  snapshot(): HandshakeCounts {
    const counts: { [name: string]: number } = Object.fromEntries(this.#counts)
    for (const [source, count] of this.#resumed) counts[`resumed:${source}`] = count
    for (const [cause, count] of this.#full) counts[`full:${cause}`] = count
    return {
      resumed: sumOf(this.#resumed),
      full: sumOf(this.#full),
      failed: counts['failed'] ?? 0,
      causes: counts,
      unstored: Object.fromEntries(this.#unstored),
      cpu: this.meter.snapshot(),
    }
  }
}

function increment<Name>(counts: Map<Name, number>, name: Name): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function sumOf(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}

/** Why nothing was kept of a handshake. */
export type UnstoredCause =
  /** Too many from one address; see the option `mintLimit`. */
  | 'address-limit'
  /** Too large for a record, or the cache is closed. */
  | 'failed'

/** What came to a TLS port and was no TLS. */
export type NotTls =
  /** Closed or reset without a byte: the health check of a load balancer, a port scan. */
  | 'probe'
  /** A request in clear. */
  | 'plain-http'
  /** A header of the PROXY protocol, of a balancer that is not known as one. */
  | 'proxy-header'

export interface HandshakeCounts {
  readonly resumed: number
  readonly full: number
  /** Handshakes that began and did not end well; also who was silent. */
  readonly failed: number
  /** By `resumed:<source>`, `full:<cause>` and `not-tls:<kind>`. */
  readonly causes: { readonly [name: string]: number }
  /** Handshakes of which no session was kept, by cause. */
  readonly unstored: { readonly [cause in UnstoredCause]?: number }
  /** CPU time that TLS takes to answer a ClientHello, the median of the last ones measured. */
  readonly cpu: { readonly full: HandshakeCost; readonly resumed: HandshakeCost }
}
