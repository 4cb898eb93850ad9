import type { Duplex } from 'node:stream'
import { type Clock, systemClock } from '../clock.ts'

/** Less is a request for a second hello; see native/second-hello.ts. */
const longestRetryRequest = 128
/**
 * All of the first ones are measured, then one in so many milliseconds: for the CPU time of a process
 * the kernel asks all its threads, which on a machine that is short of CPU takes longer than the rest
 * of what we do for a handshake.
 */
const measuredAtFirst = 64
const pause = 250
/** The latest of each kind that are kept: their median is told. */
const kept = 64

/** CPU time of a handshake, as measured: seconds. 0 samples: not known. */
export interface HandshakeCost {
  readonly samples: number
  readonly seconds: number
}

/**
 * What TLS takes to answer a ClientHello: to read it, and in a full handshake to sign, until its
 * flight has been handed to the connection. That happens in one go, in the tick in which TLS reads
 * the hello, so that the CPU time before and after it tells. What comes later (the client's
 * Finished, the tickets) is much the same for both kinds, or next to nothing.
 *
 * It is the CPU time of the process, in which other threads may be at work: so a median, not a
 * mean. (That of the thread, which Node 24 knows, counts in ticks of 10 ms on some systems.)
 */
export class HandshakeMeter {
  readonly #full: number[] = []
  readonly #resumed: number[] = []
  readonly #clock: Clock
  #measured = 0
  #last = Number.NEGATIVE_INFINITY

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /**
   * Measures what happens to `socket` in the ticks that `begin` asks for, now and then; `done` is
   * told the seconds. Not called where TLS was not done at once: an SNICallback that waits.
   */
  measure(socket: Duplex, begin: () => void, done: (seconds: number) => void): void {
    if (!this.#isDue()) {
      begin()
      return
    }
    let since = 0
    // Ticks come in the order in which they were asked for, and nothing comes between them.
    process.nextTick(() => {
      since = cpuTime()
    })
    begin()
    process.nextTick(() => {
      const { bytesWritten = 0 } = socket as { bytesWritten?: number }
      if (bytesWritten > longestRetryRequest) done((cpuTime() - since) / 1e6)
    })
  }

  #isDue(): boolean {
    const now = this.#clock.monotonic()
    if (this.#measured >= measuredAtFirst && now - this.#last < pause) return false
    this.#measured += 1
    this.#last = now
    return true
  }

  add(resumed: boolean, seconds: number): void {
    const costs = resumed ? this.#resumed : this.#full
    costs.push(seconds)
    if (costs.length > kept) costs.shift()
  }

  snapshot(): { readonly full: HandshakeCost; readonly resumed: HandshakeCost } {
    return { full: medianOf(this.#full), resumed: medianOf(this.#resumed) }
  }
}

/** Microseconds. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

function medianOf(costs: readonly number[]): HandshakeCost {
  const sorted = costs.toSorted((a, b) => a - b)
  return { samples: sorted.length, seconds: sorted[sorted.length >> 1] ?? 0 }
}
