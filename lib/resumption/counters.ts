import type { Handshake } from './handshake.ts'

/** Every handshake counts once, as resumed from somewhere or as full for a cause. */
export class HandshakeCounters {
  readonly #counts = new Map<string, number>()

  count(handshake: Handshake): void {
    this.#increment(
      handshake.resumed === false
        ? `full:${handshake.cause ?? 'unknown'}`
        : `resumed:${handshake.resumed}`,
    )
  }

  /** A connection that never got through its handshake. */
  countFailure(): void {
    this.#increment('failed')
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
    return { resumed, full, failed: counts['failed'] ?? 0, causes: counts }
  }

  #increment(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }
}

export interface HandshakeCounts {
  readonly resumed: number
  readonly full: number
  readonly failed: number
  /** By `resumed:<source>` and `full:<cause>`. */
  readonly causes: { readonly [name: string]: number }
}
