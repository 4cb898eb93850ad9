import type { Duplex } from 'node:stream'
import type { Server, TLSSocket } from 'node:tls'
import { plainHost } from '../../address.ts'
import { channels } from '../../channels.ts'
import { LogLimiter } from '../../limit/log-limiter.ts'
import { setHandshake } from '../handshake.ts'
import type { ClientHello } from '../hello/client-hello.ts'
import {
  type GoneReason,
  HelloGate,
  handshakeTimedOut,
  type ReadOutcome,
} from '../hello/hello-gate.ts'
import { HelloTimeouts } from '../hello/hello-timeouts.ts'
import { plainHttpAnswer } from '../hello/plain-http.ts'
import { handleNow } from '../native/native-handle.ts'
import { correct, hasProvedCertificate } from '../native/node-socket.ts'
import { preloadSession } from '../native/preload.ts'
import { askedAgain, bytesSent } from '../native/second-hello.ts'
import {
  Consultation,
  type ConsultationOptions,
  type Verdict,
} from '../session/consultation.ts'
import {
  type Mechanism,
  noMechanism,
  PendingHandshake,
} from '../session/pending-handshake.ts'
import {
  noResumption,
  type Policy,
  type PolicyOptions,
  ServerPolicies,
} from '../session/policy.ts'
import type { TicketKeys } from '../ticket/sealed-tickets.ts'
import { type SharedOptions, withTickets } from './context-options.ts'
import { Correlation } from './correlation.ts'
import { HandedOver } from './handed-over.ts'
import type { MintLimit } from './mint-limit.ts'
import type { OpenConnections } from './open-connections.ts'
import { type SealedOptions, SealedSessions } from './sealed-sessions.ts'
import { type Begin, checkEndsTls, ServerPatch } from './server-patch.ts'
import { SessionEvents } from './session-events.ts'
import { type IssueOptions, StatefulSessions } from './stateful-sessions.ts'
import { onSuccessor } from './successor.ts'

export interface AttachOptions extends PolicyOptions {}

/** What all attachments of a farm share. Times in milliseconds. */
export interface ResumptionSettings
  extends ConsultationOptions,
    IssueOptions,
    SharedOptions,
    Omit<SealedOptions, 'keys'> {
  readonly open: OpenConnections
  /** Of the farm's ring, for sealed tickets. */
  readonly ticketKeys: TicketKeys & { prepare(): void }
  /**
   * Handshakes of one address in a minute whose sessions are stored; 0: no limit; undefined: as
   * `mintRoom` says.
   */
  readonly mintLimit?: number | undefined
  /** Bytes of sessions that one client network may hold through this member. Default: any. */
  readonly mintRoom?: (() => number) | undefined
  /** A client must have sent its hello within. */
  readonly helloTimeout: number
}

/**
 * How the farm docks at a server, from `attach` to `detach`: it reads each hello before TLS does,
 * asks what may resume, has TLS begin, and hears what TLS has made.
 */
export class Attachment {
  readonly #server: Server
  readonly #settings: ResumptionSettings
  readonly #policies: ServerPolicies
  readonly #patch: ServerPatch
  readonly #helloTimeouts: HelloTimeouts
  readonly #handedOver: HandedOver
  readonly #consultation: Consultation
  readonly #stateful: StatefulSessions
  readonly #sealed: SealedSessions
  readonly #correlation: Correlation
  readonly #sessionEvents: SessionEvents
  readonly #ignoreSuccessors: () => void
  readonly #strangeBalancers: LogLimiter
  #detached = false

  constructor(
    server: Server,
    options: AttachOptions,
    settings: ResumptionSettings,
    mintLimit: MintLimit,
  ) {
    this.#server = server
    this.#settings = settings
    const { clock, log, ticketKeys, helloTimeout } = settings
    checkEndsTls(server)
    this.#strangeBalancers = new LogLimiter(clock)
    this.#correlation = new Correlation(server)
    this.#policies = new ServerPolicies(
      server,
      options,
      log,
      () => this.#patch.ownTickets,
    )
    this.#patch = new ServerPatch(
      server,
      settings,
      {
        contextReplaced: () => {
          this.#policies.replaceDefault()
          this.#sealed.clear()
        },
        contextAdded: context => this.#policies.add(context),
        accept: (socket, begin) => this.#accept(socket, begin),
      },
      clock,
    )
    this.#helloTimeouts = new HelloTimeouts(
      clock,
      Math.min(helloTimeout, this.#patch.handshakeTimeout ?? helloTimeout),
    )
    this.#consultation = new Consultation(settings, this.#policies, this.#patch)
    this.#stateful = new StatefulSessions(
      server,
      settings,
      this.#patch,
      this.#consultation,
      mintLimit,
    )
    this.#sealed = new SealedSessions(
      { ...settings, keys: ticketKeys },
      this.#patch,
      () => this.#patch.makeContext(withTickets),
    )
    if (options.resumption !== 'stateful' && options.resumption !== 'off') {
      ticketKeys.prepare()
    }
    const newSession = this.#onNewSession
    const resumeSession = this.#onResumeSession
    this.#handedOver = new HandedOver(server, { newSession }, log)
    this.#sessionEvents = new SessionEvents(server, { newSession, resumeSession }, log)
    server.prependListener('secureConnection', this.#onSecureConnection)
    server.on('tlsClientError', this.#onClientError)
    this.#ignoreSuccessors = onSuccessor(server, successor =>
      settings.open.succeed(successor),
    )
  }

  /** Leaves the server as it was found. Handshakes under way end as full ones. */
  detach(): void {
    this.#detached = true
    this.#sessionEvents.close()
    this.#server.off('secureConnection', this.#onSecureConnection)
    this.#server.off('tlsClientError', this.#onClientError)
    this.#ignoreSuccessors()
    this.#handedOver.close()
    this.#sealed.clear()
    this.#patch.undo()
  }

  /** A raw connection: read its hello, ask the farm, then let TLS `begin`. */
  #accept(socket: Duplex, begin: Begin): void {
    // What has wrapped the server meanwhile may still call us.
    if (this.#detached || socket.destroyed) {
      begin()
      return
    }
    const { clock, counters } = this.#settings
    let counted = false
    const gate = new HelloGate(socket, this.#helloTimeouts, outcome => {
      if (outcome.kind === 'gone') {
        if (!counted) this.#countGone(outcome.reason)
        this.#giveUp(gate, socket, begin)
        return
      }
      const { hello, plainHttp, proxyHeader } = outcome
      if (proxyHeader) {
        this.#countProxyHeader(socket)
        counted = true
        this.#giveUp(gate, socket, begin)
        return
      }
      if (plainHttp !== undefined) {
        counters.countNotTls('plain-http')
        counted = true
        if (this.#patch.speaksHttp) {
          const answer = plainHttpAnswer(plainHttp)
          gate.answer(answer, clock, () => this.#giveUp(gate, socket, begin))
        } else this.#giveUp(gate, socket, begin)
        return
      }
      const policy = this.#policies.of(hello)
      const asks = hello !== undefined && !this.#detached
      const verdict = asks ? this.#consultation.consult(hello, policy) : 'none-offered'
      if (!(verdict instanceof Promise)) {
        this.#begin(socket, gate, begin, outcome, policy, verdict)
        return
      }
      void verdict.then(later => {
        if (gate.released) return
        // The policy may have changed while the farm was asked.
        const now = this.#policies.of(hello)
        const verdict = now.mode === 'off' ? 'off' : later
        this.#begin(socket, gate, begin, outcome, now, verdict)
      })
    })
  }

  #countGone(reason: GoneReason): void {
    const { counters, log } = this.#settings
    if (reason === 'probe') counters.countNotTls('probe')
    else counters.countFailure()
    log.debug({ reason }, 'connection ended before its ClientHello')
  }

  /** All clients of that balancer are refused, which nothing else would tell. */
  #countProxyHeader(socket: Duplex & { readonly remoteAddress?: string }): void {
    const { counters, log } = this.#settings
    counters.countNotTls('proxy-header')
    const { remoteAddress } = socket
    const balancer = remoteAddress === undefined ? undefined : plainHost(remoteAddress)
    this.#strangeBalancers.log(heldBack => {
      const more = heldBack > 0 ? { heldBack } : {}
      const text = `${balancer ?? 'somebody'} sends a PROXY header and is not in proxyProtocol`
      log.warn({ balancer, ...more }, text)
    })
  }

  /** TLS gets what can't become a handshake, and tells the owner with `tlsClientError`. */
  #giveUp(gate: HelloGate, socket: Duplex, begin: Begin): void {
    const now = this.#settings.clock.now()
    const none = 'none-offered'
    const pending = new PendingHandshake(
      socket,
      undefined,
      noResumption,
      noMechanism,
      none,
      now,
    )
    pending.counted = true
    const standIn = this.#detached ? undefined : this.#correlation.standIn(pending)
    gate.release(() => begin(standIn))
  }

  #begin(
    socket: Duplex,
    gate: HelloGate,
    begin: Begin,
    { hello, records }: ReadOutcome,
    policy: Policy,
    verdict: Verdict,
  ): void {
    if (this.#detached) {
      gate.release(begin)
      return
    }
    const now = this.#settings.clock.now()
    const mechanism = this.#mechanismFor(socket, hello, policy, verdict)
    const pending = new PendingHandshake(socket, hello, policy, mechanism, verdict, now)
    const { session } = pending
    const standIn = this.#correlation.standIn(pending, mechanism.secureContext)
    const raisesEvent = hello !== undefined && hello.sessionId.length > 0 && records === 1
    const release = () =>
      gate.release(() => {
        if (session === undefined || raisesEvent) begin(standIn)
        else preloadSession(session, pending.mayAskAgain, () => begin(standIn))
      })
    this.#settings.counters.meter.measure(socket, release, cpu => {
      pending.cpu = cpu
    })
  }

  /** A session that was found resumes as it was made, whatever the client is to have next. */
  #mechanismFor(
    socket: Duplex,
    hello: ClientHello | undefined,
    policy: Policy,
    verdict: Verdict,
  ): Mechanism {
    if (hello === undefined || policy.mode === 'off') return noMechanism
    if (typeof verdict !== 'string') return this.#stateful
    return this.#sealed.for(socket, hello, policy, verdict) ?? this.#stateful
  }

  readonly #onResumeSession = (
    _id: Buffer,
    callback: (error: Error | null, session: Buffer | null) => void,
  ): boolean => {
    const pending = this.#correlation.current
    if (pending === undefined) return false
    const session = pending.session ?? null
    // Never an error: Node would destroy the connection.
    if (session === null || !pending.mayAskAgain) {
      callback(null, session)
      return true
    }
    const handle = handleNow()
    const before = bytesSent(handle)
    callback(null, session)
    // TLS has read the hello by now.
    if (askedAgain(handle, before)) handle.loadSession?.(session)
    return true
  }

  readonly #onNewSession = (id: Buffer, session: Buffer, done: () => void): boolean => {
    const pending = this.#correlation.current
    if (pending === undefined) return false
    if (!pending.mechanism.keep(pending, id, session, done)) done()
    return true
  }

  readonly #onSecureConnection = (socket: TLSSocket): void => {
    const pending = this.#correlation.current
    if (pending === undefined) return
    pending.session = undefined
    const reused = pending.hasResumed(socket.isSessionReused()) === true
    const protocol = socket.getProtocol() ?? ''
    if (pending.supports13) this.#patch.noteVersion(protocol === 'TLSv1.3')
    const { mechanism, policy, serverName } = pending
    const resumed = reused ? mechanism.confirm(pending, socket, protocol) : undefined
    if ((reused && resumed === undefined) || !isNamed(socket, pending, reused)) {
      this.#settings.counters.countFailure()
      const { mode } = policy
      this.#settings.log.warn({ serverName, mode, reused }, 'connection refused')
      socket.destroy()
      return
    }
    if (!reused) mechanism.begin(pending, socket, protocol)
    const authorized = !reused && policy.asksCertificate && hasProvedCertificate(socket)
    const handshake = pending.finish(protocol, resumed, authorized)
    if (reused) correct(socket, handshake.clientAuthorized, serverName)
    this.#correlation.handOver(socket, pending)
    this.#handedOver.watch(socket)
    setHandshake(socket, handshake)
    if (resumed?.id !== undefined) pending.sessions.push(resumed.id)
    this.#settings.open.add(socket, handshake, pending.sessions)
    this.#settings.counters.count(handshake, pending.cpu)
    if (channels.handshake.hasSubscribers) {
      channels.handshake.publish({ server: this.#server, socket, handshake })
    }
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

/** On TLS 1.2 Node tells no name of a resumed connection. */
function isNamed(socket: TLSSocket, pending: PendingHandshake, reused: boolean): boolean {
  const { servername } = socket as TLSSocket & { servername?: string | false }
  return (reused && servername === false) || pending.isNamed(servername)
}
