import { AsyncLocalStorage, executionAsyncResource } from 'node:async_hooks'
import { constants } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { SecureContextOptions, Server, TLSSocket } from 'node:tls'
import { channels } from '../channels.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { ClientHello } from './client-hello.ts'
import { Connection, type Minted, type Verdict } from './connection.ts'
import type { HandshakeCounters } from './counters.ts'
import { HandedOver } from './handed-over.ts'
import { setHandshake } from './handshake.ts'
import { readHello } from './hello-gate.ts'
import { mintRecord } from './mint.ts'
import { offerOf, refusal } from './offer.ts'
import type { OpenConnections } from './open-connections.ts'
import {
  noResumption,
  type Policy,
  type PolicyOptions,
  ServerPolicies,
} from './policy.ts'
import { preloadSession } from './preload.ts'
import { checkEndsTls, ServerPatch } from './server-patch.ts'
import type { SessionTerms } from './session-record.ts'
import type { Lookup, SessionStore } from './session-store.ts'
import { StatelessContexts } from './stateless-contexts.ts'
import type { TicketKeys } from './ticket-install.ts'

export interface AttachOptions extends PolicyOptions {}

/** What all attachments of a farm share. Times in milliseconds. */
export interface ResumptionSettings {
  readonly store: SessionStore
  readonly counters: HandshakeCounters
  readonly open: OpenConnections
  /** Of the farm's ring, for names whose tickets are stateless. */
  readonly ticketKeys: TicketKeys & { prepare(): void }
  readonly clock: Clock
  readonly log: Log
  /** Equal on all members, or TLS refuses each other's sessions. At most 32 bytes. */
  readonly sessionIdContext: string
  /** Asked before a session is offered to TLS, and again when it has resumed. */
  readonly isRevoked: (record: SessionTerms, id: Buffer) => boolean
  /** True when nothing may resume, since a revocation could be unheard. */
  readonly isCut: () => boolean
  readonly sessionTimeout: number
  readonly lineageTimeout: number
  /** Longest wait for other members when a session is looked up. */
  readonly lookupBudget: number
  /** Longest wait for another member to have a session before the client is given it. */
  readonly mintBudget: number
  /** A client must have sent its hello within. */
  readonly helloTimeout: number
}

/** A server whose sessions the farm shares, from `attach` to `detach`. */
export class Attachment {
  readonly #server: Server
  readonly #settings: ResumptionSettings
  readonly #policies: ServerPolicies
  readonly #patch: ServerPatch
  readonly #handedOver: HandedOver
  readonly #stateless: StatelessContexts
  readonly #connections = new AsyncLocalStorage<Connection>()
  #detached = false

  constructor(server: Server, options: AttachOptions, settings: ResumptionSettings) {
    this.#server = server
    this.#settings = settings
    checkEndsTls(server)
    this.#policies = new ServerPolicies(server, options)
    this.#patch = new ServerPatch(server, {
      contextOptions: given => this.#contextOptions(given),
      contextReplaced: () => {
        this.#policies.replaceDefault()
        this.#stateless.clear()
      },
      contextAdded: context => this.#policies.add(context),
      accept: (socket, begin) => this.#accept(socket, begin),
    })
    this.#stateless = new StatelessContexts({
      keys: settings.ticketKeys,
      log: settings.log,
      makeContext: () => this.#patch.makeContext(this.#statelessOptions()),
    })
    const { resumption = 'stateful' } = options
    if (resumption === 'stateless' || typeof resumption === 'function') {
      settings.ticketKeys.prepare()
    }
    this.#handedOver = new HandedOver(server, this.#onNewSession)
    server.on('newSession', this.#onNewSession)
    server.on('resumeSession', this.#onResumeSession)
    server.prependListener('secureConnection', this.#onSecureConnection)
    server.on('tlsClientError', this.#onClientError)
  }

  /** Leaves the server as it was found. Handshakes under way end as full ones. */
  detach(): void {
    this.#detached = true
    this.#server.off('newSession', this.#onNewSession)
    this.#server.off('resumeSession', this.#onResumeSession)
    this.#server.off('secureConnection', this.#onSecureConnection)
    this.#server.off('tlsClientError', this.#onClientError)
    this.#handedOver.close()
    this.#stateless.clear()
    this.#patch.undo()
  }

  /**
   * SSL_OP_NO_TICKET is what makes TLS 1.3 tickets stateful: their identity is then a session
   * id, and OpenSSL asks for it instead of decrypting it.
   */
  #contextOptions(given: SecureContextOptions): SecureContextOptions {
    return {
      ...given,
      secureOptions: (given.secureOptions ?? 0) | constants.SSL_OP_NO_TICKET,
      sessionIdContext: this.#settings.sessionIdContext,
      sessionTimeout: Math.ceil(this.#settings.sessionTimeout / 1000),
    }
  }

  #statelessOptions(): SecureContextOptions {
    const given = Reflect.get(this.#server, 'secureOptions') as number | undefined
    return { secureOptions: (given ?? 0) & ~constants.SSL_OP_NO_TICKET }
  }

  /** A raw connection: read its hello, ask the farm, then let TLS `begin`. */
  #accept(socket: Duplex, begin: () => void): void {
    const { clock, helloTimeout, log, counters } = this.#settings
    readHello(socket, { clock, timeout: helloTimeout }, outcome => {
      if (outcome.kind === 'gone') {
        counters.countFailure()
        log.debug({ reason: outcome.reason }, 'connection ended before its ClientHello')
        return
      }
      const { hello, records } = outcome
      const asks = hello !== undefined && !this.#detached
      const verdict = asks ? this.#consult(hello) : 'none-offered'
      if (!(verdict instanceof Promise)) {
        this.#begin(begin, hello, records, verdict)
        return
      }
      // Nobody else listens while the farm is asked, and an error unheard ends the process.
      socket.on('error', ignore)
      void verdict.then(later => {
        socket.off('error', ignore)
        if (socket.destroyed) counters.countFailure()
        else this.#begin(begin, hello, records, later)
      })
    })
  }

  #begin(
    begin: () => void,
    hello: ClientHello | undefined,
    records: number,
    verdict: Verdict,
  ): void {
    if (this.#detached) {
      begin()
      return
    }
    const policy = this.#policyOf(hello)
    const now = this.#settings.clock.now()
    const connection = new Connection(hello, policy, verdict, now)
    const { session } = connection
    const begun =
      policy.mode === 'stateless'
        ? () => this.#patch.within(this.#stateless.of(policy), begin)
        : begin
    const raisesEvent = hello !== undefined && hello.sessionId.length > 0 && records === 1
    this.#connections.run(connection, () => {
      if (session === undefined || raisesEvent) begun()
      else preloadSession(session, begun)
    })
  }

  /**
   * What the name asks. Nothing is kept of a connection whose name we do not know: OpenSSL
   * may read what we did not (a hello in more pieces, or longer), and make the session under
   * a name that is not the default.
   */
  #policyOf(hello: ClientHello | undefined): Policy {
    if (hello === undefined) return noResumption
    try {
      return this.#policies.of(hello.sentName)
    } catch (error) {
      const { serverName } = hello
      this.#settings.log.error({ err: error, serverName }, 'the name has no policy')
      return noResumption
    }
  }

  /** The session that may resume, or why none may. Never rejects. */
  #consult(hello: ClientHello): Verdict | Promise<Verdict> {
    const { mode } = this.#policyOf(hello)
    if (mode === 'off') return 'off'
    // TLS decides by itself; if it makes a full handshake, this is why.
    if (mode === 'stateless') return offersAnything(hello) ? 'unknown' : 'none-offered'
    const offer = offerOf(hello, this.#patch.speaks13)
    if (offer === undefined) return offersAnything(hello) ? 'unknown' : 'none-offered'
    if (this.#settings.isCut()) return 'partition'
    const { store, clock, sessionTimeout, lineageTimeout, lookupBudget } = this.#settings
    const judge = (lookup: Lookup): Verdict => {
      if (typeof lookup === 'string') return lookup
      const now = clock.now()
      // As it is now: it may have changed while the farm was asked.
      const policy = this.#policyOf(hello)
      const terms = { policy, sessionTimeout, lineageTimeout, now }
      const cause = refusal(lookup.record, offer, hello, terms)
      if (cause !== undefined) return cause
      return this.#settings.isRevoked(lookup.record, offer.id) ? 'revoked' : lookup
    }
    const local = store.findLocal(offer.id)
    if (local !== 'unknown' || lookupBudget <= 0) return judge(local)
    if (store.isDeleted(offer.id)) return 'revoked'
    return store.find(offer.id, lookupBudget).then(judge, () => 'unknown')
  }

  readonly #onResumeSession = (
    _id: Buffer,
    callback: (error: Error | null, session: Buffer | null) => void,
  ): void => {
    // Never an error: Node would destroy the connection.
    callback(null, this.#connections.getStore()?.session ?? null)
  }

  /**
   * In TLS 1.3 two sessions are made in a row and the first answer sends both tickets: they
   * are gathered and answered when both are stored, because the client may be on another
   * member a millisecond later.
   */
  readonly #onNewSession = (id: Buffer, session: Buffer, done: () => void): void => {
    const connection = this.#connections.getStore()
    if (connection?.policy.mode !== 'stateful') {
      done()
      return
    }
    const handle = handleNow()
    if (
      handle.getServername !== undefined &&
      !connection.isNamed(handle.getServername())
    ) {
      done()
      return
    }
    const reused = handle.isSessionReused?.()
    if (reused !== true) connection.firstMinted ??= Buffer.from(id)
    connection.minted.push({ id, session, done })
    if (connection.minted.length > 1) return
    setImmediate(() => {
      const { minted } = connection
      connection.minted = []
      this.#store(minted, connection, reused)
    })
  }

  #store(minted: Minted[], connection: Connection, reused: boolean | undefined): void {
    const { clock, store, sessionTimeout, lineageTimeout, mintBudget } = this.#settings
    const now = clock.now()
    const writes: Promise<boolean>[] = []
    for (const { id, session } of minted) {
      const record = mintRecord(session, id, connection, reused, now)
      if (record === undefined) continue
      // Node is about to close this connection: it had a certificate, and a bad one.
      if (connection.policy.clientRequired && !record.clientAuthorized) continue
      const end = Math.min(
        now + sessionTimeout,
        record.originalAt + lineageTimeout,
        record.certificateNotAfter || Number.POSITIVE_INFINITY,
      )
      if (end > now) writes.push(store.add(id, record, end - now, mintBudget))
    }
    const finish = (shared: boolean) => {
      for (const { done } of minted) done()
      if (channels.mint.hasSubscribers) {
        channels.mint.publish({ server: this.#server, count: minted.length, shared })
      }
    }
    Promise.all(writes).then(
      outcomes => finish(outcomes.every(shared => shared)),
      error => {
        this.#settings.log.warn({ code: error?.code }, 'a session could not be stored')
        finish(false)
      },
    )
  }

  readonly #onSecureConnection = (socket: TLSSocket): void => {
    const connection = this.#connections.getStore()
    if (connection === undefined) return
    connection.session = undefined
    const reused = socket.isSessionReused()
    const { mode } = connection.policy
    if (mode === 'stateless') this.#stateless.finished(connection.policy, socket)
    if (!this.#maySpeak(socket, connection, reused)) {
      const { serverName } = connection
      this.#settings.counters.countFailure()
      this.#settings.log.warn({ serverName, mode, reused }, 'connection refused')
      socket.destroy()
      return
    }
    const handshake = connection.handshake({
      protocol: socket.getProtocol() ?? '',
      reused,
      authorized:
        (!reused || mode === 'stateless') &&
        socket.authorized &&
        hasPeerCertificate(socket),
    })
    if (reused) correct(socket, handshake.clientAuthorized, connection.serverName)
    this.#handedOver.watch(socket)
    setHandshake(socket, handshake)
    this.#settings.open.add(socket, handshake)
    this.#settings.counters.count(handshake)
    if (channels.handshake.hasSubscribers) {
      channels.handshake.publish({ server: this.#server, socket, handshake })
    }
  }

  /** The outcome, judged once more: a client can take a minute to finish its handshake. */
  #maySpeak(socket: TLSSocket, connection: Connection, reused: boolean): boolean {
    const { policy, found, foundId } = connection
    // On TLS 1.2 Node tells no name of a resumed connection.
    const named = socket as TLSSocket & { servername?: string | false }
    if (
      !(reused && named.servername === false) &&
      !connection.isNamed(named.servername)
    ) {
      return false
    }
    if (!reused) return true
    const { clock, isRevoked } = this.#settings
    // The ticket may have outlived its client's certificate.
    if (policy.mode === 'stateless') return !hasExpired(socket, clock.now())
    // TLS resumed what we never offered: it can't, and if it ever does, it must not serve.
    return found !== undefined && foundId !== undefined && !isRevoked(found, foundId)
  }

  readonly #onClientError = (error: Error & { code?: string }): void => {
    this.#settings.counters.countFailure()
    this.#settings.log.debug({ code: error.code }, 'TLS handshake failed')
  }
}

function ignore(): void {}

function offersAnything(hello: ClientHello): boolean {
  if (hello.identities.length > 0 || hello.ticket) return true
  return !hello.supports13 && hello.sessionId.length > 0
}

function hasExpired(socket: TLSSocket, now: number): boolean {
  if (!hasPeerCertificate(socket)) return false
  return Date.parse(socket.getPeerCertificate().valid_to) < now
}

/**
 * Inside `newSession`: the event names no socket, but the resource that raised it is the
 * socket's native handle. It tells whether the handshake was a resumption, and the server name
 * as TLS has read it.
 */
function handleNow(): {
  readonly isSessionReused?: () => boolean
  readonly getServername?: () => string | false
} {
  return executionAsyncResource() ?? {}
}

function hasPeerCertificate(socket: TLSSocket): boolean {
  return Object.keys(socket.getPeerCertificate()).length > 0
}

/**
 * What Node gets wrong on a resumed connection: `authorized` turns true in TLS 1.3 for a client
 * that never showed a certificate, and `servername` is false in TLS 1.2.
 */
function correct(socket: TLSSocket, authorized: boolean, serverName: string): void {
  const named = socket as TLSSocket & { servername?: string | false }
  socket.authorized = authorized
  if (serverName !== '' && !named.servername) named.servername = serverName
}
