import { AsyncResource } from 'node:async_hooks'
import { constants } from 'node:crypto'
import { Server as HttpsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type Server,
} from 'node:tls'
import type { Clock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { ServerTerms } from '../session/consultation.ts'
import { tls13 } from '../session/offer.ts'
import {
  type SharedOptions,
  sharedContextOptions,
  shortestTimeout,
} from './context-options.ts'
import { withOpenKeys } from './open-keys.ts'
import { type TlsListener, tlsListenerOf } from './tls-listener.ts'

export interface ServerHooks {
  /** The owner replaced the default context. */
  contextReplaced(): void
  /** The owner added a context for a name. */
  contextAdded(context: SecureContextOptions | SecureContext): void
  /** A raw connection came in. */
  accept(socket: Duplex, begin: Begin): void
}

/** Hands a raw connection to Node's TLS, which takes `server` for the one it belongs to. */
export type Begin = (server?: Server) => void

/**
 * Everything that attaching changes on a server, and its way back: Node's own 'connection'
 * listener waits until we have read the hello, and `setSecureContext` and `addContext`, with
 * which certificates are renewed, keep our options and tell us of new policies.
 */
export class ServerPatch implements ServerTerms {
  readonly #server: PatchedServer
  readonly #shared: SharedOptions
  readonly #clock: Clock
  /** Milliseconds that the owner gives a handshake; undefined when Node would not say. */
  readonly handshakeTimeout: number | undefined
  readonly #timeoutSymbol: symbol | undefined
  readonly #listener: TlsListener
  readonly #before: ContextSettings
  /** The newest that the owner gave, if any since we came. */
  #given: SecureContextOptions | undefined
  /** Seconds, as the owner gave them last. */
  #ownTimeout: number | undefined
  #speaks13: boolean | undefined
  #sessionTimeout = 0
  #ownTickets = true
  /** For more contexts like the server's; undefined until the first is made. */
  #template: SecureContextOptions | undefined

  constructor(server: Server, shared: SharedOptions, hooks: ServerHooks, clock: Clock) {
    this.#server = server as PatchedServer
    this.#shared = shared
    this.#clock = clock
    this.#listener = tlsListenerOf(server) as TlsListener
    this.#before = settingsOf(this.#server)
    this.#timeoutSymbol = timeoutSymbolOf(this.#server)
    this.handshakeTimeout = timeoutAt(this.#server, this.#timeoutSymbol)
    // First: it throws when the settings can't be honoured, and nothing is changed then.
    this.#setContext(this.#before)
    this.#server.setSecureContext = options => {
      this.#setContext(options)
      this.#given = options
      hooks.contextReplaced()
    }
    this.#server.addContext = (name, context) => {
      plain.addContext.call(server, name, context)
      hooks.contextAdded(context)
    }
    const { plain: toTls } = this.#listener
    this.#listener.take(socket => {
      // By then the event is over, and what the owner's AsyncLocalStorage held in it.
      const scope = new AsyncResource('HANDFASTHELLO')
      const since = clock.monotonic()
      hooks.accept(socket, (seen = server) => {
        if (seen !== server) this.#shortenTimeout(seen, since)
        scope.runInAsyncScope(toTls, seen, socket)
      })
    })
  }

  /** Its clients speak HTTP over TLS. */
  get speaksHttp(): boolean {
    if (this.#server instanceof HttpsServer) return true
    const { ALPNProtocols } = this.#server
    const spoken = ALPNProtocols?.toString('latin1') ?? ''
    return spoken.includes('\x02h2') || spoken.includes('\x08http/1.1')
  }

  /**
   * TLS 1.3 will be spoken with a client that can. The last handshake with such a client shows
   * it; before that the settings tell, if not all: a certificate of a curve that TLS 1.3 does
   * not know and OpenSSL's configuration file switch it off, too. Those of the default context
   * count, since the version is chosen before the name is looked at.
   */
  get speaks13(): boolean {
    this.#speaks13 ??= allows13(this.#server)
    return this.#speaks13
  }

  /** False where the owner has set SSL_OP_NO_TICKET: no tickets that hold sessions. */
  get ownTickets(): boolean {
    return this.#ownTickets
  }

  /** What the farm allows, or the server's owner where that is less. */
  get sessionTimeout(): number {
    return this.#sessionTimeout
  }

  /** A client that can speak TLS 1.3 has finished its handshake, in TLS 1.3 or an older version. */
  noteVersion(is13: boolean): void {
    this.#speaks13 = is13
  }

  /** A context of its own with the settings that the server has now, changed a little. */
  makeContext(
    change: (now: SecureContextOptions) => SecureContextOptions,
  ): SecureContext {
    this.#template ??= withOpenKeys(settingsOf(this.#server))
    return createSecureContext(change(this.#template))
  }

  undo(): void {
    this.#listener.giveBack()
    Reflect.deleteProperty(this.#server, 'setSecureContext')
    Reflect.deleteProperty(this.#server, 'addContext')
    if (this.#given !== undefined) {
      Reflect.set(this.#server, 'sessionTimeout', this.#ownTimeout)
      plain.setSecureContext.call(this.#server, this.#given)
      return
    }
    for (const name of settingNames) {
      if (!(name in this.#before)) Reflect.deleteProperty(this.#server, name)
    }
    Object.assign(this.#server, this.#before)
  }

  /** The time that the hello has taken is gone from what its owner gives to the handshake. */
  #shortenTimeout(seen: Server, since: number): void {
    const symbol = this.#timeoutSymbol
    if (symbol === undefined || this.handshakeTimeout === undefined) return
    const left = this.handshakeTimeout - (this.#clock.monotonic() - since)
    Reflect.set(seen, symbol, Math.max(1, Math.ceil(left)))
  }

  #setContext(options: SecureContextOptions): void {
    // Where none is given Node keeps the one of before, which is ours.
    const sessionTimeout = options.sessionTimeout || this.#ownTimeout
    const given = { ...options, sessionTimeout }
    plain.setSecureContext.call(this.#server, sharedContextOptions(given, this.#shared))
    this.#sessionTimeout = shortestTimeout(given, this.#shared)
    this.#ownTimeout = sessionTimeout
    this.#ownTickets = ((options.secureOptions ?? 0) & constants.SSL_OP_NO_TICKET) === 0
    this.#template = undefined
    this.#speaks13 = undefined
  }
}

/** Throws ERR_HANDFAST_USAGE for what is not a server that ends TLS by Node's own means. */
export function checkEndsTls(server: Server): void {
  const patched = server as PatchedServer
  const endsTls = typeof patched?.setSecureContext === 'function'
  if (endsTls && tlsListenerOf(patched) !== undefined) return
  throw new HandfastError(
    'ERR_HANDFAST_USAGE',
    endsTls
      ? "something has taken Node's own 'connection' listener off the server and keeps it " +
          'where handfast cannot see it (read-tls-client-hello does so, and some wrappers for ' +
          'the PROXY protocol): attach the server first, and wrap it afterwards'
      : 'attach needs a server that ends TLS itself: one of node:tls, node:https, or an ' +
          'http2.createSecureServer; a server for two protocols may have one behind it',
  )
}

/** Nothing in the settings of the server rules TLS 1.3 out. */
function allows13({ _sharedCreds, secureOptions = 0 }: PatchedServer): boolean {
  if ((secureOptions & constants.SSL_OP_NO_TLSv1_3) !== 0) return false
  // Node lowers this for a list of ciphers without one of TLS 1.3.
  const { getMaxProto } = _sharedCreds.context as { getMaxProto?: () => number }
  const highest = getMaxProto?.call(_sharedCreds.context) ?? 0
  return highest === 0 || highest >= tls13
}

/** The methods as Node has them, whatever a server's own properties say. */
const plain = {
  setSecureContext(this: Server, options: SecureContextOptions): void {
    Object.getPrototypeOf(this).setSecureContext.call(this, options)
  },
  addContext(
    this: Server,
    name: string,
    context: SecureContextOptions | SecureContext,
  ): void {
    Object.getPrototypeOf(this).addContext.call(this, name, context)
  },
}

type ContextSettings = SecureContextOptions & { readonly _sharedCreds: SecureContext }

interface PatchedServer extends Server {
  setSecureContext(options: SecureContextOptions): void
  addContext(name: string, context: SecureContextOptions | SecureContext): void
  _sharedCreds: SecureContext
  readonly secureOptions?: number
  readonly ALPNProtocols?: Buffer
}

/** What `setSecureContext` keeps on the server, and what it makes of it. */
const settingNames = [
  'pfx',
  'key',
  'passphrase',
  'cert',
  'clientCertEngine',
  'ca',
  'minVersion',
  'maxVersion',
  'secureProtocol',
  'crl',
  'sigalgs',
  'ciphers',
  'ecdhCurve',
  'dhparam',
  'honorCipherOrder',
  'secureOptions',
  'sessionIdContext',
  'sessionTimeout',
  'ticketKeys',
  'privateKeyIdentifier',
  'privateKeyEngine',
  'certificateCompression',
  'allowPartialTrustChain',
  '_sharedCreds',
] as const

function settingsOf(server: PatchedServer): ContextSettings {
  return Object.fromEntries(
    settingNames
      .filter(name => Object.hasOwn(server, name))
      .map(name => [name, Reflect.get(server, name)]),
  ) as unknown as ContextSettings
}

function timeoutAt(
  server: PatchedServer,
  symbol: symbol | undefined,
): number | undefined {
  const given = symbol && Reflect.get(server, symbol)
  return typeof given === 'number' && given > 0 ? given : undefined
}

/** Where Node keeps it. Not documented. */
function timeoutSymbolOf(server: PatchedServer): symbol | undefined {
  return Object.getOwnPropertySymbols(server).find(
    ({ description }) => description === 'handshake-timeout',
  )
}
