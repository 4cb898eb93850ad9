import type { Revocation } from '../resumption/revocation/revocation-record.ts'
import type { Basis, Identity, MethodName } from './identity.ts'
import type { OpenExchange } from './request/request.ts'

/** As whom an exchange was let in, and by what. */
export interface Admission {
  readonly identity: Identity
  readonly basis: Basis
  /** Whether the log-in still stands, with whoever let it in. */
  readonly stands: (method: MethodName, subject: string, basis: Basis) => boolean
  /** Of the connection, where it has one. */
  readonly lineage: Buffer | undefined
  /** Keys of log-ins with records of their own, which the cookie names. */
  readonly keys: readonly Buffer[]
  /** What is remembered on its connection and speaks for it. */
  readonly remembered: readonly EndableLogin[]
}

/** Something that a log-out can end; itself, or by its record's key. */
export interface EndableLogin {
  readonly key: Buffer | undefined
}

/** Whether a log-in of this time, under this lineage if any, is void. */
export type IsRevoked = (identity: Identity, lineage: Buffer | undefined) => boolean

/**
 * The exchanges of this member that were let in as somebody, whatever connection they are on. A
 * revocation and a log-out, here or on another member, end those that it names, and so does a
 * change of the password: else they would go on for as long as their client likes.
 */
export class OpenExchanges {
  readonly #open = new Map<OpenExchange, Admission>()
  /** For those of whom nobody says when they are over: the latest of each connection. */
  readonly #latest = new WeakMap<object, OpenExchange>()

  get size(): number {
    return this.#open.size
  }

  /** Whether there are any that were let in by whoever this tells of. */
  hasOf(stands: Admission['stands']): boolean {
    for (const [, admission] of this.#open) if (admission.stands === stands) return true
    return false
  }

  add(exchange: OpenExchange, admission: Admission): void {
    this.#open.set(exchange, admission)
    exchange.onOver(() => this.#open.delete(exchange))
  }

  /** One that ends with its connection, or when another comes on it. */
  addOn(socket: object, admission: Admission): void {
    const connection = socket as Partial<Closing>
    const before = this.#latest.get(socket)
    if (before !== undefined) {
      // It listens for the end of the connection already.
      this.#open.set(before, admission)
      return
    }
    const exchange: OpenExchange = {
      end: () => connection.destroy?.(),
      onOver: listener => {
        if (connection.destroyed === true) listener()
        else connection.once?.('close', listener)
      },
    }
    this.#latest.set(socket, exchange)
    this.add(exchange, admission)
  }

  /** Nothing ends it any more, for it is the one that asks for that. */
  letGo(exchange: OpenExchange | undefined, socket: object): void {
    const found = exchange ?? this.#latest.get(socket)
    if (found !== undefined) this.#open.delete(found)
  }

  /** Ends those that the revocation names, unless it leaves open what is open. */
  revoke({ target, at, close, users }: Revocation, isRevoked: IsRevoked): void {
    if (!close && users !== true) return
    const user = 'user' in target ? target.user : undefined
    for (const [exchange, { identity, lineage }] of this.#open) {
      if (user !== undefined && (identity.subject !== user || identity.at > at)) continue
      if (isRevoked(identity, lineage)) this.#end(exchange)
    }
  }

  /** Ends those that would not be let in now: a password has changed, a key is withdrawn. */
  review(): void {
    for (const [exchange, { identity, basis, stands }] of this.#open) {
      if (!stands(identity.method, identity.subject, basis)) this.#end(exchange)
    }
  }

  /** A log-in has ended, on this member or another; its record's key. */
  loggedOut(key: Buffer): void {
    for (const [exchange, { keys, remembered }] of this.#open) {
      const named = keys.some(one => one.equals(key))
      if (named || remembered.some(({ key: one }) => one?.equals(key)))
        this.#end(exchange)
    }
  }

  /** What was remembered on a connection alone has ended. */
  forgotten(login: EndableLogin): void {
    for (const [exchange, { remembered }] of this.#open)
      if (remembered.includes(login)) this.#end(exchange)
  }

  #end(exchange: OpenExchange): void {
    this.#open.delete(exchange)
    exchange.end()
  }
}

interface Closing {
  readonly destroyed: boolean
  destroy(): void
  once(event: 'close', listener: () => void): void
}
