import type { Handshake } from './handshake.ts'
import { type HandshakeCost, HandshakeMeter } from './handshake-cost.ts'

/** Every handshake counts once, as resumed from somewhere or as full for a cause. */
export class HandshakeCounters {
  readonly #counts = new Map<string, number>()
  readonly #unstored = new Map<UnstoredCause, number>()
  readonly meter: HandshakeMeter = new HandshakeMeter()

  /** `cpu`: seconds that TLS took for it, where that was measured. */
  count(handshake: Handshake, cpu?: number): void {
    if (cpu !== undefined) this.meter.add(handshake.resumed !== false, cpu)
    this.#increment(
      handshake.resumed === false
        ? `full:${handshake.cause ?? 'unknown'}`
        : `resumed:${handshake.resumed}`,
    )
  }

  /** A handshake that ended well, and whose session will not resume all the same. */
  countUnstored(cause: UnstoredCause): void {
    this.#unstored.set(cause, (this.#unstored.get(cause) ?? 0) + 1)
  }

  /** A connection that never got through its handshake. */
  countFailure(): void {
    this.#increment('failed')
  }

  /** A connection that was no attempt at a handshake. */
  countNotTls(kind: NotTls): void {
    this.#increment(`not-tls:${kind}`)
  }

  snapshot(): HandshakeCounts {
    const counts: { [name: string]: number } = {}
    let resumed = 0
    let full = 0
    for (const [name, count] of this.#counts) {
      counts[name] = count
      if (name.startsWith('resumed:')) resumed += count
      if (name.startsWith('full:')) full += count
    }
    return {
      resumed,
      full,
      failed: counts['failed'] ?? 0,
      causes: counts,
      unstored: Object.fromEntries(this.#unstored),
      cpu: this.meter.snapshot(),
    }
  }

  #increment(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }
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
