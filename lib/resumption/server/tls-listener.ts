import type { EventEmitter } from 'node:events'
import type { Duplex } from 'node:stream'
import type { Server } from 'node:tls'

/** The listener by which a server gives a raw connection to Node's TLS, and ours before it. */
export class TlsListener {
  /** Node's own, whose `this` is the server that the connection is to belong to. */
  readonly plain: ConnectionListener
  readonly #server: Server
  readonly #ours: ConnectionListener
  readonly #replace: Replace
  #accept: ((socket: Duplex) => void) | undefined

  constructor(server: Server, plain: ConnectionListener, replace: Replace) {
    this.#server = server
    this.plain = plain
    this.#replace = replace
    this.#ours = socket => {
      if (this.#accept === undefined) plain.call(server, socket)
      else this.#accept(socket)
    }
  }

  /** Raw connections go to `accept` from now on. */
  take(accept: (socket: Duplex) => void): void {
    this.#accept = accept
    this.#replace(this.plain, this.#ours)
    taken.set(this.#server, this)
  }

  giveBack(): void {
    this.#accept = undefined
    this.#replace(this.#ours, this.plain)
  }
}

/** What wraps an attached server may keep ours for good, past detach and a second attach. */
const taken = new WeakMap<Server, TlsListener>()

/**
 * Usually it is on 'connection'. What looks at the first bytes before TLS takes it from there: a
 * wrapper for the PROXY protocol (findhit-proxywrap) keeps it under an event of its own, and a
 * server for two protocols (httpolyglot) in a property. Undefined where it can't be seen.
 */
export function tlsListenerOf(server: Server): TlsListener | undefined {
  // Events of wrappers may be symbols, which the type of a tls server does not know.
  const emitter: EventEmitter = server
  for (const event of emitter.eventNames()) {
    const plain = emitter.rawListeners(event).find(isPlain)
    if (plain === undefined) continue
    const replace: Replace = (old, fresh) => replaceListener(server, event, old, fresh)
    return new TlsListener(server, plain, replace)
  }
  for (const name of Reflect.ownKeys(server)) {
    const own = Object.getOwnPropertyDescriptor(server, name)
    const plain: unknown = own?.value
    if (!isPlain(plain) || own?.writable !== true) continue
    const replace: Replace = (old, fresh) => {
      if (Reflect.get(server, name) === old) Reflect.set(server, name, fresh)
    }
    return new TlsListener(server, plain, replace)
  }
  return taken.get(server)
}

type ConnectionListener = (this: Server, socket: Duplex) => void
type Replace = (old: ConnectionListener, fresh: ConnectionListener) => void

function isPlain(value: unknown): value is ConnectionListener {
  return typeof value === 'function' && value.name === 'tlsConnectionListener'
}

/** Puts one listener in the place of another, so that the order of all stays. */
function replaceListener(
  emitter: EventEmitter,
  event: string | symbol,
  old: ConnectionListener,
  fresh: ConnectionListener,
): void {
  const listeners = emitter.rawListeners(event) as ConnectionListener[]
  if (!listeners.includes(old)) return
  emitter.removeAllListeners(event)
  for (const listener of listeners) {
    emitter.on(event, listener === old ? fresh : listener)
  }
}
