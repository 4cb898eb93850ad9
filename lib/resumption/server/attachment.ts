import type { Duplex } from 'node:stream'
import type { SecureContextOptions, Server, TLSSocket } from 'node:tls'
import { channels } from '../../channels.ts'
import type { Clock } from '../../clock.ts'
import type { LimitCounters } from '../../limit/limit-counters.ts'
import type { Log } from '../../log.ts'
import type { HandshakeCounters } from '../counters.ts'
import { setHandshake } from '../handshake.ts'
import type { ClientHello } from '../hello/client-hello.ts'
import { type GoneReason, HelloGate, handshakeTimedOut } from '../hello/hello-gate.ts'
import { plainHttpAnswer } from '../hello/plain-http.ts'
import { offerOf, offersAnything, refusal } from '../session/offer.ts'
import {
  noResumption,
  type Policy,
  type PolicyOptions,
  ServerPolicies,
} from '../session/policy.ts'
import type { SessionTerms } from '../session/session-record.ts'
import type { Lookup, SessionStore } from '../session/session-store.ts'
import { StatelessContexts, type TicketContext } from '../ticket/stateless-contexts.ts'
import type { TicketKeys } from '../ticket/ticket-install.ts'
import { Connection, type Verdict } from './connection.ts'
import { sharedContextOptions, shortestTimeout, withTickets } from './context-options.ts'
import { Correlation } from './correlation.ts'
import { HandedOver } from './handed-over.ts'
import type { MintLimit } from './mint-limit.ts'
import { Minting } from './minting.ts'
import { handleNow } from './native-handle.ts'
import { correct, hasExpired, hasPeerCertificate } from './node-socket.ts'
import type { OpenConnections } from './open-connections.ts'
import { preloadSession } from './preload.ts'
import { askedAgain, bytesSent } from './second-hello.ts'
import { type Begin, checkEndsTls, ServerPatch } from './server-patch.ts'
import { SessionEvents } from './session-events.ts'

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
  /**
   * Handshakes of one address in a minute whose sessions are stored; 0: no limit; undefined: as
   * `mintRoom` says.
   */
  readonly mintLimit?: number | undefined
  /** Bytes of sessions that one client network may hold through this member. Default: any. */
  readonly mintRoom?: (() => number) | undefined
  readonly limitCounters?: LimitCounters | undefined
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
  readonly #minting: Minting
  readonly #policies: ServerPolicies
  readonly #patch: ServerPatch
  readonly #handedOver: HandedOver
  readonly #stateless: StatelessContexts
  readonly #correlation: Correlation
  readonly #sessionEvents: SessionEvents
  #detached = false

  constructor(
    server: Server,
    options: AttachOptions,
    settings: ResumptionSettings,
    mintLimit: MintLimit,
  ) {
    this.#server = server
    this.#settings = settings
    this.#minting = new Minting(server, settings, mintLimit)
    checkEndsTls(server)
    this.#correlation = new Correlation(server)
    this.#policies = new ServerPolicies(server, options)
    this.#patch = new ServerPatch(
      server,
      {
        contextOptions: given => this.#contextOptions(given),
        contextReplaced: () => {
          this.#policies.replaceDefault()
          this.#stateless.clear()
        },
        contextAdded: context => this.#policies.add(context),
        accept: (socket, begin) => this.#accept(socket, begin),
      },
      settings.clock,
    )
    this.#stateless = new StatelessContexts({
      keys: settings.ticketKeys,
      clock: settings.clock,
      log: settings.log,
      makeContext: () => this.#patch.makeContext(withTickets),
    })
    const { resumption = 'stateful' } = options
    if (resumption === 'stateless' || typeof resumption === 'function') {
      settings.ticketKeys.prepare()
    }
    const newSession = this.#onNewSession
    const resumeSession = this.#onResumeSession
    const { log } = settings
    this.#handedOver = new HandedOver(server, { newSession }, log)
    this.#sessionEvents = new SessionEvents(server, { newSession, resumeSession }, log)
    server.prependListener('secureConnection', this.#onSecureConnection)
    server.on('tlsClientError', this.#onClientError)
  }

  /** Leaves the server as it was found. Handshakes under way end as full ones. */
  detach(): void {
    this.#detached = true
    this.#sessionEvents.close()
    this.#server.off('secureConnection', this.#onSecureConnection)
    this.#server.off('tlsClientError', this.#onClientError)
    this.#handedOver.close()
    this.#stateless.clear()
    this.#patch.undo()
  }

  #contextOptions(given: SecureContextOptions): SecureContextOptions {
    this.#minting.sessionTimeout = shortestTimeout(given, this.#settings)
    return sharedContextOptions(given, this.#settings)
  }

  /** A raw connection: read its hello, ask the farm, then let TLS `begin`. */
  #accept(socket: Duplex, begin: Begin): void {
    // What has wrapped the server meanwhile may still call us.
    if (this.#detached || socket.destroyed) {
      begin()
      return
    }
    const { clock, helloTimeout, counters } = this.#settings
    const timeout = Math.min(helloTimeout, this.#patch.handshakeTimeout ?? helloTimeout)
    let counted = false
    const gate = new HelloGate(socket, { clock, timeout }, outcome => {
      if (outcome.kind === 'gone') {
        if (!counted) this.#countGone(outcome.reason)
        this.#giveUp(gate, socket, begin)
        return
      }
      const { hello, records, plainHttp } = outcome
      if (plainHttp !== undefined) {
        counters.countNotTls('plain-http')
        counted = true
        if (this.#patch.speaksHttp) {
          const answer = plainHttpAnswer(plainHttp)
          gate.answer(answer, clock, () => this.#giveUp(gate, socket, begin))
        } else this.#giveUp(gate, socket, begin)
        return
      }
      const policy = this.#policyOf(hello)
      const asks = hello !== undefined && !this.#detached
      const verdict = asks ? this.#consult(hello, policy) : 'none-offered'
      if (!(verdict instanceof Promise)) {
        this.#begin(socket, gate, begin, hello, records, policy, verdict)
        return
      }
      void verdict.then(later => {
        if (gate.released) return
        this.#begin(socket, gate, begin, hello, records, this.#policyOf(hello), later)
      })
    })
  }

  #countGone(reason: GoneReason): void {
    const { counters, log } = this.#settings
    if (reason === 'probe') counters.countNotTls('probe')
    else counters.countFailure()
    log.debug({ reason }, 'connection ended before its ClientHello')
  }

  /** TLS gets what can't become a handshake, and tells the owner with `tlsClientError`. */
  #giveUp(gate: HelloGate, socket: Duplex, begin: Begin): void {
    const now = this.#settings.clock.now()
    const connection = new Connection(
      socket,
      undefined,
      noResumption,
      'none-offered',
      now,
    )
    connection.counted = true
    const standIn = this.#detached ? undefined : this.#correlation.standIn(connection)
    gate.release(() => begin(standIn))
  }

  #begin(
    socket: Duplex,
    gate: HelloGate,
    begin: Begin,
    hello: ClientHello | undefined,
    records: number,
    policy: Policy,
    verdict: Verdict,
  ): void {
    if (this.#detached) {
      gate.release(begin)
      return
    }
    const now = this.#settings.clock.now()
    const connection = new Connection(socket, hello, policy, verdict, now)
    const { session } = connection
    // Without a key of the farm no ticket opens.
    const tickets =
      verdict === 'partition' ? undefined : hello && this.#ticketsOf(policy, hello)
    connection.tickets = tickets
    const standIn = this.#correlation.standIn(connection, tickets?.secureContext)
    const raisesEvent = hello !== undefined && hello.sessionId.length > 0 && records === 1
    gate.release(() => {
      if (session === undefined || raisesEvent) begin(standIn)
      else preloadSession(session, connection.mayAskAgain, () => begin(standIn))
    })
  }

  #ticketsOf(policy: Policy, hello: ClientHello): TicketContext | undefined {
    if (policy.mode !== 'stateless') return undefined
    const tickets = this.#stateless.of(policy, hello)
    if (tickets === undefined) this.#settings.counters.countUnstored('name-limit')
    return tickets
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
  #consult(hello: ClientHello, policy: Policy): Verdict | Promise<Verdict> {
    const { mode } = policy
    if (mode === 'off') return 'off'
    if (mode === 'stateless') {
      if (!offersAnything(hello)) return 'none-offered'
      // Else TLS decides by itself; if it makes a full handshake, this is why.
      return this.#settings.isCut() ? 'partition' : 'unknown'
    }
    const offer = offerOf(hello, this.#patch.speaks13)
    if (offer === undefined) return offersAnything(hello) ? 'unknown' : 'none-offered'
    if (this.#settings.isCut()) return 'partition'
    const { store, clock, lineageTimeout, lookupBudget } = this.#settings
    const judge = (lookup: Lookup, policy: Policy): Verdict => {
      if (typeof lookup === 'string') return lookup
      if (this.#settings.isCut()) return 'partition'
      const { sessionTimeout } = this.#minting
      const terms = { policy, sessionTimeout, lineageTimeout, now: clock.now() }
      const cause = refusal(lookup.record, offer, hello, terms)
      if (cause !== undefined) return cause
      return this.#settings.isRevoked(lookup.record, offer.id) ? 'revoked' : lookup
    }
    const local = store.findLocal(offer.id)
    if (local !== 'unknown' || lookupBudget <= 0) return judge(local, policy)
    if (store.isDeleted(offer.id)) return 'revoked'
    return store.find(offer.id, lookupBudget).then(
      // The policy may have changed while the farm was asked.
      lookup => judge(lookup, this.#policyOf(hello)),
      () => 'unknown',
    )
  }

  readonly #onResumeSession = (
    _id: Buffer,
    callback: (error: Error | null, session: Buffer | null) => void,
  ): boolean => {
    const connection = this.#correlation.current
    if (connection === undefined) return false
    const session = connection.session ?? null
    const handle = handleNow()
    const before = bytesSent(handle)
    // Never an error: Node would destroy the connection.
    callback(null, session)
    if (session === null || !connection.mayAskAgain) return true
    // TLS has read the hello by now.
    if (askedAgain(handle, before)) handle.loadSession?.(session)
    return true
  }

  readonly #onNewSession = (id: Buffer, session: Buffer, done: () => void): boolean => {
    const connection = this.#correlation.current
    if (connection === undefined) return false
    if (!this.#minting.keep(connection, id, session, done)) done()
    return true
  }

  readonly #onSecureConnection = (socket: TLSSocket): void => {
    const connection = this.#correlation.current
    if (connection === undefined) return
    connection.session = undefined
    const reused = connection.hasResumed(socket.isSessionReused()) === true
    const { mode } = connection.policy
    const protocol = socket.getProtocol() ?? ''
    if (connection.supports13) this.#patch.noteVersion(protocol === 'TLSv1.3')
    connection.tickets?.finished(socket)
    connection.tickets = undefined
    if (!this.#maySpeak(socket, connection, reused)) {
      const { serverName } = connection
      this.#settings.counters.countFailure()
      this.#settings.log.warn({ serverName, mode, reused }, 'connection refused')
      socket.destroy()
      return
    }
    const handshake = connection.finish({
      protocol,
      reused,
      authorized:
        (!reused || mode === 'stateless') &&
        socket.authorized &&
        hasPeerCertificate(socket),
    })
    if (reused) correct(socket, handshake.clientAuthorized, connection.serverName)
    this.#correlation.handOver(socket, connection)
    this.#handedOver.watch(socket)
    setHandshake(socket, handshake)
    if (reused && connection.foundId) connection.sessions.push(connection.foundId)
    this.#settings.open.add(socket, handshake, connection.sessions)
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
    const { clock, isRevoked, isCut } = this.#settings
    if (isCut()) return false
    // The ticket may have outlived its client's certificate.
    if (policy.mode === 'stateless') return !hasExpired(socket, clock.now())
    // TLS resumed what we never offered: it can't, and if it ever does, it must not serve.
    return found !== undefined && foundId !== undefined && !isRevoked(found, foundId)
  }

  readonly #onClientError = (
    error: Error & { code?: string },
    socket: TLSSocket,
  ): void => {
    // A tls server only tells of it (an https server also acts), and the client could stay.
    if (error.code === handshakeTimedOut) process.nextTick(() => socket.destroy())
    if (this.#correlation.current?.counted === true) return
    this.#settings.counters.countFailure()
    this.#settings.log.debug({ code: error.code }, 'TLS handshake failed')
  }
}
