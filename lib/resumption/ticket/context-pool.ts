import type { SecureContext } from 'node:tls'
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
}

/**
 * Contexts of a server, each leased to one connection for its handshake: the ticket callback is
 * told its context and nothing else, and so knows the connection. Neither the stack nor the
 * last event tells it: between `secureConnection` and the sealing other connections have turns.
 *
 * The last one given back is the next one used, and a context costs half a millisecond and some
 * 40 KiB once: there are as many as handshakes were ever under way at a time.
 */
export class ContextPool {
  readonly #options: ContextPoolOptions
  readonly #most: number
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
   * A context for this connection alone; undefined when too many are in use, or Node has no hook.
   * Throws where the owner's settings are such that none can be made of them.
   */
  lease(handshake: SealedHandshake): Lease | undefined {
    const lease = this.#free.pop() ?? this.#make()
    if (lease !== undefined) lease.handshake = handshake
    return lease
  }

  /**
   * The connection needs it no more: both its tickets are sealed, or it has ended. Not to be
   * called from within TLS. A second time, or for a lease that has gone on, nothing happens.
   */
  release(lease: Lease, handshake: SealedHandshake): void {
    if (lease.handshake !== handshake) return
    lease.handshake = undefined
    if (lease.generation === this.#generation) this.#free.push(lease)
  }

  /** A handshake of TLS 1.3 ended well. */
  countFinished(): void {
    this.#finished += 1
  }

  /** The server has new settings. Contexts in use are not used again. */
  clear(): void {
    this.#generation += 1
    this.#free = []
    this.#made = 0
    this.#canMake = true
  }

  #make(): Lease | undefined {
    if (this.#made >= this.#most) return undefined
    const { makeContext, answer } = this.#options
    // Unless it comes that far it is not tried again: to make one takes long.
    this.#canMake = false
    const lease = new Lease(makeContext(), this.#generation)
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
}

export class Lease {
  readonly secureContext: SecureContext
  readonly generation: number
  handshake: SealedHandshake | undefined

  constructor(secureContext: SecureContext, generation: number) {
    this.secureContext = secureContext
    this.generation = generation
  }
}

const handshakesToJudge = 8
