import type { ClientConnection, OpenExchange } from './client-connection.ts'

interface Wait {
  /** Bytes of the answer that the client had yet to take. */
  readonly untaken: number
  readonly since: number
}

/**
 * Ends answers that their clients do not take. One look over all connections now and then
 * costs less than a timer for each answer, and needs no event of a stream that may never come.
 */
export class SlowClients {
  #waits = new Map<OpenExchange, Wait>()

  /** To be called over and over. `timeout`: longest standstill in milliseconds, as is `now`. */
  check(connections: Iterable<ClientConnection>, now: number, timeout: number): void {
    const waits = new Map<OpenExchange, Wait>()
    for (const { exchanges } of connections) {
      for (const exchange of exchanges) {
        const { untaken } = exchange
        if (untaken === undefined) continue
        const before = this.#waits.get(exchange)
        const wait = before?.untaken === untaken ? before : { untaken, since: now }
        if (now - wait.since < timeout) {
          waits.set(exchange, wait)
          continue
        }
        exchange.fault ??= 'client-timeout'
        exchange.abort()
      }
    }
    this.#waits = waits
  }
}
