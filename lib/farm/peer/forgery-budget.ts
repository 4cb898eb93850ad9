/** A datagram that fails to open costs about 6 us: so many a second are 0.6 % of a core. */
const failuresPerSecond = 1_000
const maxSources = 1_024

/**
 * Who sends us datagrams that look like a member's and are not. Beyond its budget a source is
 * not listened to until the second is over; that stops others from making us open datagrams,
 * and costs an honest member nothing unless somebody forges its address.
 */
export class ForgeryBudget {
  readonly #failures = new Map<string, number>()
  #second = 0

  allows(host: string, now: number): boolean {
    if (this.#failures.size === 0) return true
    if (Math.floor(now / 1000) !== this.#second) {
      this.#failures.clear()
      return true
    }
    return (this.#failures.get(host) ?? 0) < failuresPerSecond
  }

  failed(host: string, now: number): void {
    this.#second = Math.floor(now / 1000)
    const failures = this.#failures.get(host)
    if (failures !== undefined) this.#failures.set(host, failures + 1)
    else if (this.#failures.size < maxSources) this.#failures.set(host, 1)
  }
}
