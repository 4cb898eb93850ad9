import { constants, randomBytes } from 'node:crypto'
import type { Server, TLSSocket } from 'node:tls'
import { HandfastError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import { type TicketKey, ticketKeyLength } from './ticket-key.ts'

/** The part of a ring that a server needs. */
export interface TicketKeys {
  encrypting(scope: string): TicketKey
  decrypting(name: Buffer, scope: string): TicketKey | undefined
  onChange(listener: () => void): () => void
}

export interface InstallOptions {
  /**
   * Tells tickets of one policy from those of another: a text that is equal on all members
   * with the same policy, such as its hash. Asked at install and at each `contextReplaced`.
   */
  readonly scope?: () => string
}

export interface InstalledTicketKeys {
  /**
   * `ring`: all keys of the ring decrypt, and every resumption brings a new ticket, so that
   * clients that use a ticket once, as TLS 1.3 asks them to, go on resuming.
   * `single`: Node lacks the hook; the newest key alone is set, and older tickets are lost.
   */
  readonly mode: 'ring' | 'single'
  /** To be called whenever the server has a new default context (`setSecureContext`). */
  contextReplaced(): void
  /** The server goes on with the ticket keys that it had before. */
  uninstall(): void
}

/** Makes a server encrypt and decrypt its session tickets with the keys of a ring. */
export function installTicketKeys(
  server: Server,
  keys: TicketKeys,
  log: Log,
  options: InstallOptions = {},
): InstalledTicketKeys {
  return new Installation(server as HookedServer, keys, log, options)
}

/**
 * Node's hook for ticket keys, there since version 12 and covered by its own tests, but not
 * documented: whether it is really called is seen at the first handshakes.
 */
class Installation implements InstalledTicketKeys {
  readonly #server: HookedServer
  readonly #keys: TicketKeys
  readonly #log: Log
  readonly #scope: () => string
  readonly #stopListening: () => void
  /** Keys that a server without us would have used, by context. */
  readonly #contexts = new Map<HookedContext, () => void>()
  readonly #plainKeys: Buffer
  #mode: 'ring' | 'single'
  #calls = 0
  #handshakes = 0

  constructor(
    server: HookedServer,
    keys: TicketKeys,
    log: Log,
    { scope = () => '' }: InstallOptions,
  ) {
    if (typeof server?.setTicketKeys !== 'function') {
      throw new HandfastError('ERR_HANDFAST_USAGE', 'ticket keys need a TLS server')
    }
    if (((server.secureOptions ?? 0) & constants.SSL_OP_NO_TICKET) !== 0) {
      throw new HandfastError('ERR_HANDFAST_USAGE', 'the server has tickets switched off')
    }
    this.#server = server
    this.#keys = keys
    this.#log = log
    this.#scope = scope
    this.#plainKeys = Buffer.from(server.getTicketKeys())
    this.#stopListening = keys.onChange(() => this.#setSingle())
    const context = server._sharedCreds?.context
    this.#mode = context !== undefined && hasHook(context) ? 'ring' : 'single'
    if (this.#mode === 'ring') {
      log.info({ mode: 'ring' }, "session tickets use Node's ticket-key hook")
      server.on('secureConnection', this.#onSecureConnection)
    } else {
      this.#warnSingle('this Node has no ticket-key hook')
    }
    this.contextReplaced()
  }

  get mode(): 'ring' | 'single' {
    return this.#mode
  }

  contextReplaced(): void {
    const context = this.#server._sharedCreds?.context
    if (this.#mode === 'ring' && context !== undefined && hasHook(context)) {
      this.#hook(context)
    } else {
      this.#setSingle()
    }
  }

  uninstall(): void {
    this.#stopListening()
    this.#server.off('secureConnection', this.#onSecureConnection)
    for (const restore of this.#contexts.values()) restore()
    this.#contexts.clear()
    if (this.#mode === 'single') this.#server.setTicketKeys(this.#plainKeys)
  }

  #hook(context: HookedContext): void {
    if (this.#contexts.has(context)) return
    const scope = this.#scope()
    const plain = plainCallback(Buffer.from(this.#server.getTicketKeys()))
    const before = context.onticketkeycallback
    for (const old of this.#contexts.keys()) {
      // Handshakes under way on the context that was replaced; older ones are long over.
      if (this.#contexts.size < mostContexts) break
      this.#contexts.delete(old)
    }
    this.#contexts.set(context, () => {
      context.onticketkeycallback = before ?? plain
    })
    context.onticketkeycallback = (name, iv, encrypting) => {
      this.#calls += 1
      try {
        return encrypting ? this.#encrypt(scope) : this.#decrypt(name, scope)
      } catch (error) {
        // What is thrown here ends the process. A ticket of this server alone does no harm.
        const { code } = error as { code?: string }
        this.#log.error({ code }, 'no ticket key')
        return encrypting ? plain(name, iv, true) : unknownTicket
      }
    }
    context.enableTicketKeyCallback()
  }

  #encrypt(scope: string): CallbackAnswer {
    const { name, hmac, aes } = this.#keys.encrypting(scope)
    return [answer.done, hmac, aes, name, randomBytes(16)]
  }

  #decrypt(name: Buffer, scope: string): CallbackAnswer {
    const key = this.#keys.decrypting(name, scope)
    return key === undefined ? unknownTicket : [answer.renew, key.hmac, key.aes]
  }

  /** A TLS 1.3 handshake without one ticket asked of us, eight times: the hook is dead. */
  readonly #onSecureConnection = (socket: TLSSocket): void => {
    if (socket.getProtocol() !== 'TLSv1.3') return
    this.#handshakes += 1
    if (this.#calls === 0 && this.#handshakes < handshakesToJudge) return
    this.#server.off('secureConnection', this.#onSecureConnection)
    if (this.#calls > 0) return
    this.#mode = 'single'
    this.#warnSingle("Node's ticket-key hook is never called")
    this.#setSingle()
  }

  #setSingle(): void {
    if (this.#mode === 'ring') return
    this.#server.setTicketKeys(this.#singleKey())
  }

  #singleKey(): Buffer {
    try {
      return this.#keys.encrypting(this.#scope()).bytes
    } catch {
      // Its time is up: better one that nobody has.
      return randomBytes(ticketKeyLength)
    }
  }

  #warnSingle(because: string): void {
    this.#log.warn(
      { mode: 'single', because },
      'session tickets use one key at a time: each rotation makes older tickets worthless',
    )
  }
}

/** [result, HMAC key, AES key], and for encryption [.., name, IV]. */
type CallbackAnswer = [number, Buffer, Buffer, Buffer?, Buffer?]
type TicketKeyCallback = (name: Buffer, iv: Buffer, encrypting: boolean) => CallbackAnswer

interface HookedContext {
  enableTicketKeyCallback(): void
  onticketkeycallback?: TicketKeyCallback
}

interface HookedServer extends Server {
  readonly _sharedCreds?: { readonly context: HookedContext }
  readonly secureOptions?: number
}

/** As SSL_CTX_set_tlsext_ticket_key_evp_cb has them. */
const answer = { unknown: 0, done: 1, renew: 2 } as const
/** Node wants keys with every answer. These encrypt nothing; they are not zeros all the same. */
const unknownTicket: CallbackAnswer = [answer.unknown, randomBytes(16), randomBytes(16)]
const handshakesToJudge = 8
const mostContexts = 8

function hasHook(context: HookedContext): boolean {
  return typeof context.enableTicketKeyCallback === 'function'
}

/** What Node does by itself with the 48 bytes of `ticketKeys`: name, HMAC key, AES key. */
function plainCallback(bytes: Buffer): TicketKeyCallback {
  const name = bytes.subarray(0, 16)
  const hmac = bytes.subarray(16, 32)
  const aes = bytes.subarray(32, 48)
  return (given, _iv, encrypting) => {
    if (encrypting) return [answer.done, hmac, aes, name, randomBytes(16)]
    return given.equals(name) ? [answer.done, hmac, aes] : unknownTicket
  }
}
