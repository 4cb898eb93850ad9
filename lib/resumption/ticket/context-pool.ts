import type { SecureContext } from 'node:tls'
import { Shares, usualShare } from '../../limit/shares.ts'
import { WorkBudget } from '../../limit/work-budget.ts'
import type { SealedHandshake } from './sealed-handshake.ts'
import { type TicketAnswer, ticketHookOf } from './ticket-hook.ts'

export interface ContextPoolOptions {
  /** A new context with the settings that the server has now, and with session tickets. */
  readonly makeContext: () => SecureContext
  /** What TLS is to do about a ticket of the connection. Must not throw. */
  readonly answer: (
    handshake: SealedHandshake | undefined,
    name: Buffer,
    iv: Buffer,
    sealing: boolean,
  ) => TicketAnswer
  /** Contexts in use at once. Default 1000. */
  readonly most?: number
  /** Milliseconds of a clock that never jumps. Default that of the process. */
  readonly now?: () => number
  /** Milliseconds of processor time that were used so far. Default those of the process. */
  readonly used?: () => number
}

/**
 * Contexts of a server, each leased to one connection for its handshake: the ticket callback is
 * told its context and nothing else, and so knows the connection. Neither the stack nor the
 * last event tells it: between `secureConnection` and the sealing other connections have turns.
 *
 * The last one given back is the next one used: there are as many as handshakes were ever under
 * way at a time. A context costs 40 KiB and a third of a millisecond, or five with a hundred
 * authorities, so a process makes them for no more than a tenth of its time. And clients that
 * begin handshakes and do not go on with them, of one network, leave some for the others.
 */
export class ContextPool {
  readonly #options: ContextPoolOptions
  readonly #most: number
  readonly #now: () => number
  readonly #used: () => number
  readonly #budget = new WorkBudget({ perSecond: 100, atOnce: 100 })
  #shares: Shares
  #free: Lease[] = []
  /** Of this generation. */
  #made = 0
  #generation = 0
  #calls = 0
  #finished = 0
  #canMake = true

  constructor(options: ContextPoolOptions) {
    this.#options = options
    this.#most = options.most ?? 1_000
    this.#now = options.now ?? (() => performance.now())
    this.#used = options.used ?? processTime
    this.#shares = this.#newShares()
  }

  /** Contexts that are there for the settings of now. */
  get size(): number {
    return this.#made
  }

  /** Those that no connection has. */
  get free(): number {
    return this.#free.length
  }

  /**
   * Contexts can be made, and Node's hook works, as far as is known: it is not documented, and
   * that it is there does not say that it is called.
   */
  get works(): boolean {
    return this.#canMake && (this.#calls > 0 || this.#finished < handshakesToJudge)
  }

  /**
   * A context for this connection alone; undefined when too many are in use, by all or by its
   * network, when none is free and enough were made of late, or Node has no hook. `networkOf` the
   * client is asked for when it matters: to ask a socket for its address takes long. Throws where
   * the owner's settings are such that none can be made of them.
   */
  lease(
    handshake: SealedHandshake,
    networkOf: () => string | undefined = () => undefined,
  ): Lease | undefined {
    const isCrowded = this.#shares.used >= this.#most * crowded
    const network = isCrowded ? networkOf() : undefined
    if (!this.#shares.take(network)) return undefined
    let lease: Lease | undefined
    try {
      lease = this.#free.pop() ?? this.#make()
    } finally {
      if (lease === undefined) this.#shares.release(network)
    }
    if (lease === undefined) return undefined
    lease.handshake = handshake
    lease.network = network
    return lease
  }

  /**
   * The connection needs it no more: both its tickets are sealed, or it has ended. Not to be
   * called from within TLS. A second time, or for a lease that has gone on, nothing happens.
   */
  release(lease: Lease, handshake: SealedHandshake): void {
    if (lease.handshake !== handshake) return
    lease.handshake = undefined
    if (lease.generation !== this.#generation) return
    this.#shares.release(lease.network)
    this.#free.push(lease)
  }

  /** A handshake of TLS 1.3 ended well. */
  countFinished(): void {
    this.#finished += 1
  }

  /** The server has new settings. Contexts in use are not used again. */
  clear(): void {
    this.#generation += 1
    this.#free = []
    this.#shares = this.#newShares()
    this.#made = 0
    this.#canMake = true
  }

  #make(): Lease | undefined {
    if (!this.#budget.allows(this.#now())) return undefined
    const { makeContext, answer } = this.#options
    // Unless it comes that far it is not tried again: to make one takes long.
    this.#canMake = false
    const before = this.#used()
    const lease = new Lease(makeContext(), this.#generation)
    this.#budget.spend(this.#used() - before)
    const hook = ticketHookOf(lease.secureContext)
    if (hook === undefined) return undefined
    this.#canMake = true
    hook.onticketkeycallback = (name, iv, sealing) => {
      this.#calls += 1
      return answer(lease.handshake, name, iv, sealing)
    }
    hook.enableTicketKeyCallback()
    this.#made += 1
    return lease
  }

  #newShares(): Shares {
    return new Shares({ most: this.#most, share: usualShare })
  }
}

export class Lease {
  readonly secureContext: SecureContext
  readonly generation: number
  handshake: SealedHandshake | undefined
  /** Of the client, where it was asked for. */
  network: string | undefined

  constructor(secureContext: SecureContext, generation: number) {
    this.secureContext = secureContext
    this.generation = generation
  }
}

function processTime(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

const handshakesToJudge = 8
/** Of the contexts: while fewer are in use nobody's address is looked at. */
const crowded = 0.2
