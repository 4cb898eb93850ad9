import { UrlPlace } from '../../dispatch/affinity/url-place.ts'
import type { Fields } from '../../http/fields.ts'
import type { LimitCounters } from '../../limit/limit-counters.ts'
import { Shares, type SharesOptions } from '../../limit/shares.ts'
import type { Log } from '../../log.ts'
import type { AccessLog } from '../access-log.ts'
import type { ClientConnection } from '../client/client-connection.ts'
import { answer, type Exchange, reply } from '../client/exchange.ts'
import type { Unreadable } from '../client/http1.ts'
import { type CheckedRequest, checkRequest } from '../message/request-check.ts'
import type { Authorization, Authorizer, Limits } from '../options.ts'
import type { Phase } from '../phases.ts'
import { Forwarding, type Outcome } from '../relay/forwarding.ts'
import type { Tunnels } from '../relay/tunnel.ts'
import type { NamedRequest, ServedRoute } from '../route/routes.ts'
import type { ServedSite, Sites } from '../sites.ts'
import type { Traffic } from '../traffic.ts'
import { authRequestOf } from './auth-request.ts'
import { clientNetwork } from './client-network.ts'
import { answerProbe } from './health-probe.ts'
import { limitMet } from './limit-met.ts'

/** What may change under a request handler's feet; each request sees one state of it. */
export interface Serving {
  readonly sites: Sites
  readonly limits: Limits
  /** Where a balancer asks whether clients are wanted. */
  readonly healthPath: string | undefined
}

const noBody = Buffer.alloc(0)

type Finish = (outcome: Outcome, user?: string) => void

/** A request whose site and route are known. */
interface Routed {
  readonly exchange: Exchange
  readonly request: CheckedRequest
  readonly site: ServedSite
  readonly route: ServedRoute
  /** Undefined where URLs name no backends. */
  readonly place: UrlPlace | undefined
  /** The network that it counts for where limits are shared out. */
  readonly client: string | undefined
  readonly finish: Finish
  /** The first bytes of its body are there. Undefined when it has none. */
  readonly onBody: (() => void) | undefined
}

/** Takes each request through its phases (../phases.ts) and sees to its line in the log. */
export class RequestHandler {
  readonly #serving: () => Serving
  readonly #notReady: () => string | undefined
  readonly #trusts: (address: string) => boolean
  readonly #log: Log
  readonly #accessLog: AccessLog
  readonly #limitCounters: LimitCounters
  readonly #pendingBodies: Shares
  readonly #traffic: Traffic
  readonly #tunnels: Tunnels

  constructor(
    serving: () => Serving,
    notReady: () => string | undefined,
    trusts: (address: string) => boolean,
    log: Log,
    accessLog: AccessLog,
    limitCounters: LimitCounters,
    traffic: Traffic,
    tunnels: Tunnels,
    limits: Limits,
  ) {
    this.#tunnels = tunnels
    this.#traffic = traffic
    this.#serving = serving
    this.#notReady = notReady
    this.#trusts = trusts
    this.#log = log
    this.#accessLog = accessLog
    this.#limitCounters = limitCounters
    this.#pendingBodies = new Shares(pendingBodies(limits))
  }

  setLimits(limits: Limits): void {
    this.#pendingBodies.resize(pendingBodies(limits))
  }

  unreadable(unreadable: Unreadable): void {
    const limit = limitMet(unreadable.code)
    if (limit !== undefined) this.#met(limit, unreadable)
    this.#traffic.unreadable(unreadable.status)
    this.#accessLog.unreadable(unreadable)
  }

  handle(exchange: Exchange): void {
    try {
      const serving = this.#serving()
      if (answerProbe(exchange, serving.healthPath, this.#notReady)) return
      this.#traffic.begin()
      this.#take(exchange, serving)
    } catch (error) {
      this.#failed(exchange, error)
    }
  }

  /** A fault of ours in one request is no reason to end all others with the process. */
  #failed(exchange: Exchange, error: unknown): void {
    this.#log.error({ error: String(error) }, 'a request failed')
    if (exchange.started) exchange.abort()
    else answer(exchange, 500, 'Internal Server Error')
  }

  #take(exchange: Exchange, { sites, limits }: Serving): void {
    const began = performance.now()
    let onBody: (() => void) | undefined
    let site: ServedSite | undefined
    const finish: Finish = (outcome, user) => {
      onBody?.()
      const limit = limitMet(exchange.fault ?? outcome.error)
      if (limit !== undefined) this.#met(limit, exchange)
      const ms = performance.now() - began
      this.#traffic.end(site?.label, exchange.head.method, outcome.status ?? 499, ms)
      this.#accessLog.request(exchange, outcome, ms, user)
    }
    const refuse = (phase: Phase, status: number, reason: string) => {
      exchange.onClose = () =>
        finish({
          status: exchange.status,
          bytes: exchange.bytes,
          phase,
          backend: undefined,
          error: reason,
        })
      answer(exchange, status, reason)
    }

    if (fieldBytes(exchange) > limits.maxHeaderBytes) {
      refuse('receive', 431, 'Request Header Fields Too Large')
      return
    }
    const checked = checkRequest(exchange.head)
    if ('status' in checked) {
      // Where the next request begins is anybody's guess now.
      exchange.final = true
      refuse('check', checked.status, checked.reason)
      return
    }

    site = sites.find(checked.hostname)
    if (
      site === undefined ||
      site.certificatePolicy !== exchange.connection.certificatePolicy
    ) {
      // RFC 9110 15.5.20: another connection, made for that name, may do better.
      refuse('route', 421, 'Misdirected Request')
      return
    }
    if (site.clientCertificate === 'required' && !exchange.connection.clientAuthorized) {
      // Said in HTTP: a client of TLS 1.3 is done with the handshake before it can be told.
      exchange.final = true
      refuse('route', 403, 'A client certificate is required')
      return
    }
    const named = site.routes.named(checked)
    const request = named?.request ?? checked
    const route = site.routes.find(request)
    if (typeof route === 'string') {
      if (route === 'none') refuse('route', 404, 'Not Found')
      else refuse('route', 400, 'the path can be read in more than one way')
      return
    }
    const place = placeOf(request, route, named)
    if (route.redirect !== undefined) {
      const { status } = route.redirect
      const fields = ['Location', route.redirect.location(request.path)]
      const placed = place?.responseFields(fields, undefined) ?? fields
      this.#redirect(exchange, finish, status, placed)
      return
    }
    const client = clientNetwork(exchange.connection, request.fields, this.#trusts)
    if (place !== undefined && mayMove(request)) {
      const at = { fields: request.fields, network: client, named: place.client }
      const { dispatcher } = route
      const location = place.location(dispatcher.urlNameFor(at), name =>
        dispatcher.isUrlName(name),
      )
      if (location !== undefined) {
        // For now: the next time it may be another one.
        const fields = ['Location', location, 'Cache-Control', 'no-store']
        this.#redirect(exchange, finish, 307, fields)
        return
      }
    }
    if (request.bodyLength !== 0) {
      onBody = this.#awaitBody(client)
      if (onBody === undefined) {
        this.#met('maxPendingBodies', exchange)
        refuse('receive', 503, 'Service Unavailable')
        return
      }
      // Whatever becomes of it, and whoever listens from now on.
      exchange.onClose = onBody
    }
    const routed = { exchange, request, site, route, place, client, onBody, finish }
    const { authorizer } = route
    if (authorizer === undefined) this.#forward(routed, undefined, undefined)
    else {
      this.#authorize(routed, authorizer).catch(error => this.#failed(exchange, error))
    }
  }

  #redirect(exchange: Exchange, finish: Finish, status: number, fields: Fields): void {
    exchange.onClose = () =>
      finish({
        status: exchange.status,
        bytes: exchange.bytes,
        phase: 'route',
        backend: undefined,
        error: undefined,
      })
    reply(exchange, status, [...fields, 'Content-Length', '0'], noBody)
  }

  /** Room for a request whose body has not begun to come; answers how it is given back. */
  #awaitBody(client: string | undefined): (() => void) | undefined {
    if (!this.#pendingBodies.take(client)) return undefined
    let pending = true
    return () => {
      if (pending) this.#pendingBodies.release(client)
      pending = false
    }
  }

  #met(
    limit: keyof Limits,
    { connection }: { readonly connection: ClientConnection },
  ): void {
    this.#limitCounters.met(`limits.${limit}`, connection.clientAddress)
  }

  /** No backend hears of a request before it is known whose it is. */
  async #authorize(routed: Routed, authorizer: Authorizer): Promise<void> {
    const { exchange, request, place, finish } = routed
    let closed = false
    let error: string | undefined
    let onGone: (() => void) | undefined
    exchange.onClose = () => {
      closed = true
      onGone?.()
      const { status, bytes } = exchange
      finish({ status, bytes, phase: 'authorize', backend: undefined, error })
    }
    let decision: Authorization
    try {
      const asked = authRequestOf(exchange, request, listener => {
        onGone = listener
        return () => {
          onGone = undefined
        }
      })
      decision = await authorizer.authorize(asked)
    } catch (cause) {
      // It promised not to. What it would have said is unknown, so nobody gets in.
      this.#log.error({ error: (cause as Error)?.name }, 'an authorizer failed')
      if (!closed && !exchange.started) answer(exchange, 503, 'Service Unavailable')
      return
    }
    // The client has left, or the rest of its request was unreadable and answered as such.
    if (closed || exchange.started) return
    if (decision.outcome === 'allowed') {
      this.#forward(routed, decision.fields, decision.user)
      return
    }
    const { status, headers, body } = decision.answer
    if (status >= 400) error = 'not-authorized'
    const fields = flat(headers)
    const placed = place?.responseFields(fields, undefined) ?? fields
    reply(exchange, status, placed, Buffer.from(body as string))
  }

  #forward(
    { exchange, request, site, route, place, client, finish, onBody }: Routed,
    identity: Fields | undefined,
    user: string | undefined,
  ): void {
    const { connection } = exchange
    new Forwarding({
      exchange,
      request,
      hop: connection,
      clientCertificate:
        site.clientCertificate === 'off' ? undefined : connection.clientCertificate,
      identity,
      ownFields: site.routes.ownFields,
      dispatcher: route.dispatcher,
      limits: route.limits,
      tunnels: this.#tunnels,
      urgency: route.urgencyOf?.(request.fields, user),
      rewrite: route.rewrite,
      place,
      client,
      user,
      onBody,
      onLimit: limit => this.#met(limit, exchange),
      onOutcome: outcome => finish(outcome, user),
    }).start()
  }
}

/** Undefined where URLs name no backends. */
function placeOf(
  request: CheckedRequest,
  { urlForm, dispatcher }: ServedRoute,
  named: NamedRequest | undefined,
): UrlPlace | undefined {
  const form = urlForm ?? named?.form
  if (form === undefined) return undefined
  return new UrlPlace({
    form,
    asked: request,
    // A name of another kind is none here.
    named: named?.form === form ? named.name : undefined,
    fields: request.fields,
    nameAt: origin => dispatcher.urlNameAt(origin),
  })
}

/** It does no harm to ask for it once more, elsewhere. */
function mayMove({ method, bodyLength, websocket }: CheckedRequest): boolean {
  return (method === 'GET' || method === 'HEAD') && bodyLength === 0 && !websocket
}

function pendingBodies({ maxPendingBodies, clientShare }: Limits): SharesOptions {
  return { most: maxPendingBodies, share: clientShare / 100 }
}

/**
 * What they take on HTTP/1.1, where cookies that HTTP/2 has split are one field (RFC 9113
 * 8.2.3). Node's own limit leaves colons and line ends out.
 */
function fieldBytes({ head }: Exchange): number {
  const { fields, http2 } = head
  let bytes = head.method.length + head.target.length + (head.authority?.length ?? 0)
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    bytes += (fields[i + 1] as string).length + 2
    if (!http2 || name !== 'cookie') bytes += name.length + 2
  }
  return bytes
}

function flat(headers: Readonly<Record<string, string | string[]>>): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().flatMap(one => [name, one]),
  )
}
