import { EventEmitter } from 'node:events'
import type { SecureContext, TLSSocket } from 'node:tls'
import type { Clock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import { RateLimit } from '../../limit/rate-limit.ts'
import type { Log } from '../../log.ts'
import type { ClientHello } from '../hello/client-hello.ts'
import type { Policy } from '../session/policy.ts'
import {
  type InstalledTicketKeys,
  installTicketKeys,
  type TicketKeys,
} from './ticket-install.ts'
import { type TicketKey, ticketNameLength } from './ticket-key.ts'

export interface StatelessOptions {
  readonly keys: TicketKeys
  readonly clock: Clock
  readonly log: Log
  /** A new context with the settings that the server has now, and with session tickets. */
  readonly makeContext: () => SecureContext
  /** Contexts that are kept. Default 1000. */
  readonly most?: number
}

/**
 * The contexts in which a server hands out stateless tickets: one for each policy, server name
 * and ticket key. What can't be looked up before the handshake can't be carried across, then:
 *
 * - Keys are derived for a policy and name. A ticket made under any other is noise.
 * - A context knows one key of the ring, which opens tickets and seals the new ones. A client
 *   that comes with a ticket gets the context of the key that opens it, so that a renewed ticket
 *   is under the key of the first one. The chain ends when that key does, although a ticket has
 *   no room to say when its chain began.
 *
 * Anybody can send names, and a context takes about half a millisecond and 30 KiB: only so many
 * are kept and made in a second. A connection that gets none has a full handshake without
 * tickets.
 */
export class StatelessContexts {
  readonly #options: StatelessOptions
  readonly #most: number
  /** In the order of their last use. */
  readonly #made = new Map<string, TicketContext>()
  readonly #rate = new RateLimit({ count: 200, window: 4_000 })
  #stopListening: (() => void) | undefined
  #told = false

  constructor(options: StatelessOptions) {
    this.#options = options
    this.#most = options.most ?? 1_000
  }

  get size(): number {
    return this.#made.size
  }

  /** The context that the connection must begin with; undefined when it gets none. */
  of(policy: Policy, hello: ClientHello): TicketContext | undefined {
    const { keys } = this.#options
    // A ticket may hold a client's certificate, and nobody can tell before it is opened.
    const hash = policy.certificateHash ?? policy.hash
    const scope = `${hash.toString('hex')} ${hello.serverName}`
    const key = opened(hello, scope, keys) ?? keys.encrypting(scope)
    const place = `${key.name.toString('latin1')}${scope}`
    const known = this.#made.get(place)
    if (known !== undefined) {
      this.#made.delete(place)
      this.#made.set(place, known)
      return known
    }
    return this.#make(place, scope, key)
  }

  /** The server has new settings: contexts are made anew as they are asked for. */
  clear(): void {
    this.#stopListening?.()
    this.#stopListening = undefined
    for (const context of this.#made.values()) context.installed?.uninstall()
    this.#made.clear()
  }

  #make(place: string, scope: string, key: TicketKey): TicketContext | undefined {
    const { keys, clock, log, makeContext } = this.#options
    if (!this.#rate.take('', clock.monotonic())) {
      log.debug({}, 'no ticket context for a name: too many new ones')
      return undefined
    }
    this.#stopListening ??= listenWeakly(keys, this)
    const made = new TicketContext(makeContext(), scope, key.name)
    const only = onlyKey(keys, made)
    made.installed = installTicketKeys(made.asServer, only, this.#told ? quiet(log) : log)
    this.#told = true
    this.#made.set(place, made)
    for (const [oldest, context] of this.#made) {
      if (this.#made.size <= this.#most) break
      context.installed?.uninstall()
      this.#made.delete(oldest)
    }
    return made
  }

  /** Contexts whose key is no more. */
  dropVoid(): void {
    const { keys } = this.#options
    for (const [place, context] of this.#made) {
      if (keys.decrypting(context.keyName, context.scope) !== undefined) continue
      context.installed?.uninstall()
      this.#made.delete(place)
    }
  }
}

/** The ring lives as long as its farm, and a server that nobody detached may not. */
function listenWeakly(keys: TicketKeys, contexts: StatelessContexts): () => void {
  const held = new WeakRef(contexts)
  const stop = keys.onChange(() => {
    const listening = held.deref()
    if (listening === undefined) stop()
    else listening.dropVoid()
  })
  return stop
}

/** A context with the few members of a server that installing ticket keys needs. */
export class TicketContext extends EventEmitter {
  readonly secureContext: SecureContext
  readonly scope: string
  readonly keyName: Buffer
  installed: InstalledTicketKeys | undefined

  constructor(secureContext: SecureContext, scope: string, keyName: Buffer) {
    super()
    this.secureContext = secureContext
    this.scope = scope
    // The key is zeroed one day.
    this.keyName = Buffer.from(keyName)
  }

  /** A handshake in this context has ended well. */
  finished(socket: TLSSocket): void {
    this.emit('secureConnection', socket)
  }

  get asServer(): Parameters<typeof installTicketKeys>[0] {
    return this as unknown as Parameters<typeof installTicketKeys>[0]
  }

  get _sharedCreds(): SecureContext {
    return this.secureContext
  }

  getTicketKeys(): Buffer {
    return this.#native.getTicketKeys()
  }

  setTicketKeys(keys: Buffer): void {
    this.#native.setTicketKeys(keys)
  }

  get #native(): NativeContext {
    return this.secureContext.context as NativeContext
  }
}

interface NativeContext {
  getTicketKeys(): Buffer
  setTicketKeys(keys: Buffer): void
}

/** The key of the first ticket in the hello that one of ours opens. */
function opened(
  hello: ClientHello,
  scope: string,
  keys: TicketKeys,
): TicketKey | undefined {
  const offered =
    hello.ticket === undefined ? hello.identities : [hello.ticket, ...hello.identities]
  for (const ticket of offered) {
    if (ticket.length <= ticketNameLength) continue
    const key = keys.decrypting(ticket.subarray(0, ticketNameLength), scope)
    if (key !== undefined) return key
  }
  return undefined
}

/** The one key of a context, for as long as the ring has it. */
function onlyKey(keys: TicketKeys, { keyName, scope }: TicketContext): TicketKeys {
  const key = () => keys.decrypting(keyName, scope)
  return {
    encrypting() {
      const found = key()
      if (found !== undefined) return found
      throw new HandfastError('ERR_HANDFAST_CLOSED', 'the ticket key is no more')
    },
    decrypting: name => (name.equals(keyName) ? key() : undefined),
    onChange: () => () => {},
  }
}

/** What was said of the first context need not be said of each. */
function quiet(log: Log): Log {
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.debug(fields, message),
    warn: (fields, message) => log.debug(fields, message),
    error: (fields, message) => log.error(fields, message),
    child: fields => quiet(log.child(fields)),
  }
}
