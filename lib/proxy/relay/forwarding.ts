import type { Duplex } from 'node:stream'
import { isInvalidRequest, wasReset } from '../../backend/failure.ts'
import type { SlotLimit } from '../../backend/slots.ts'
import type { UrlPlace } from '../../dispatch/affinity/url-place.ts'
import type { DispatchCall, DispatchHandler } from '../../dispatch/dispatch.ts'
import type { Dispatcher } from '../../dispatch/dispatcher.ts'
import { prefixLinks } from '../../dispatch/links.ts'
import type { Urgency } from '../../dispatch/queue/urgency.ts'
import { type Fields, filterFields } from '../../http/fields.ts'
import { answer, type Exchange } from '../client/exchange.ts'
import type { Hop } from '../message/forwarded.ts'
import { grpcTrailers, isGrpc } from '../message/grpc.ts'
import {
  endsWithConnection,
  hasUnknownCoding,
  requestFields,
  responseFields,
  trailerFields,
} from '../message/hop-fields.ts'
import type { CheckedRequest } from '../message/request-check.ts'
import type { Limits } from '../options.ts'
import type { Phase } from '../phases.ts'
import type { Rewrite } from '../route/rewrite.ts'
import { failureOf } from './failure.ts'
import { relayed } from './relayed-bytes.ts'
import { BodyError, RequestBody } from './request-body.ts'
import type { Tunnels } from './tunnel.ts'
import { newWebSocketKey, switchedClient } from './websocket.ts'

/** How a request ended, for the log. */
export interface Outcome {
  readonly status: number | undefined
  readonly bytes: number
  readonly phase: Phase
  readonly backend: string | undefined
  /** How often the answer has gone on at another backend. */
  readonly resumed?: number | undefined
  /** Code of the error that cut it short. */
  readonly error: string | undefined
}

export interface ForwardingOptions {
  readonly exchange: Exchange
  readonly request: CheckedRequest
  readonly hop: Hop
  readonly clientCertificate: Buffer | undefined
  /** What the backend is told of the user; undefined where the site asks nobody. */
  readonly identity: Fields | undefined
  /** Names of fields that only the site's log-in may say. */
  readonly ownFields: ReadonlySet<string>
  /** To the backends of the site. */
  readonly dispatcher: Dispatcher
  readonly limits: Limits
  readonly tunnels: Tunnels
  readonly urgency: Urgency | undefined
  /** What is changed on the way. */
  readonly rewrite: Rewrite | undefined
  /** Where the client is among URLs that name backends. */
  readonly place: UrlPlace | undefined
  /** The network that the request counts for where backends are shared out. */
  readonly client: string | undefined
  /** Who is logged in. */
  readonly user: string | undefined
  /** Called once, when the request is turned away for a limit. */
  readonly onLimit: (limit: SlotLimit) => void
  /** Called once, when the first bytes of the body are there, if there is one. */
  readonly onBody: (() => void) | undefined
  /** Called once, when both sides are done with. */
  readonly onOutcome: (outcome: Outcome) => void
}

/**
 * Relays one request to the dispatcher and its response to the client. Either side may be the
 * slower one, and either may vanish: each is told of the other at once.
 */
export class Forwarding implements DispatchHandler {
  readonly #options: ForwardingOptions
  readonly #exchange: Exchange
  readonly #webSocketKey: string | undefined
  /** Both sides speak at the same time, and may be silent for as long as in a tunnel. */
  readonly #duplex: boolean
  #body: RequestBody | undefined
  /** From when the request is given to the dispatcher. */
  #call: DispatchCall | undefined
  /** The dispatcher will say more. */
  #underWay = false
  #phase: Phase = 'select'
  #status: number | undefined
  /** The answer that has begun ends with its header section. */
  #bodiless = false
  /** A reset is the end of the answer, as long as the request has not been sent in full. */
  #endsByReset = false
  #error: string | undefined
  /** No backend that was asked had room, as far as is known. */
  #limit: SlotLimit | undefined
  #clientGone = false
  #tunnelled = false
  #tunnelBytes = 0
  /** The proxy itself has answered: whatever the backend still says is too late. */
  #failed = false
  #settled = false

  constructor(options: ForwardingOptions) {
    this.#options = options
    this.#exchange = options.exchange
    const { request } = options
    this.#webSocketKey =
      request.websocket && request.method === 'CONNECT' ? newWebSocketKey() : undefined
    this.#duplex =
      request.bodyLength !== 0 &&
      options.dispatcher.isDuplex &&
      isGrpc(options.exchange.head)
  }

  start(): void {
    const { exchange, request, limits } = this.#options
    exchange.onClose = () => this.#clientClosed()
    exchange.onDrain = () => this.#call?.resume()
    if (request.bodyLength === 0) this.#dispatch()
    else if (
      limits.maxBodyBytes > 0 &&
      Number(request.bodyLength) > limits.maxBodyBytes
    ) {
      this.#phase = 'forward'
      this.#fail(413, 'Content Too Large', 'too-large')
    } else {
      this.#body = new RequestBody(exchange.source, {
        maxBytes: limits.maxBodyBytes,
        timeout: limits.bodyTimeout,
        // Not before a backend stands ready: a body nobody takes need not travel.
        onWanted: () => {
          if (request.expectContinue && !exchange.started) exchange.continue()
        },
        onArrived: () => {
          this.#spoken()
          this.#bodyArrived()
        },
      })
      this.#body.once('error', error => this.#bodyFailed(error))
      // No backend hears of the request before the first bytes of its body are there. A client
      // that holds them back is asked for them when a backend stands ready. One of gRPC may wait
      // for the backend's first word.
      if (this.#duplex) this.#bodyArrived()
      else if (request.expectContinue) this.#dispatch()
      else this.#body.open()
    }
  }

  onSend(): void {
    this.#phase = 'forward'
    this.#limit = undefined
  }

  /** A limit is met when a request is turned away for it, not when another backend has room. */
  onLimit(limit: SlotLimit): void {
    this.#limit = limit
  }

  onInform(status: number, fields: string[]): void {
    if (status < 100 || status === 101) {
      // No status at all, or a switch that nobody asked for: what follows is anybody's guess.
      this.#refuseResponse()
      return
    }
    if (this.#exchange.started) return
    try {
      if (status === 100 && this.#options.request.expectContinue) {
        // Said already, unless the body is empty: the backend is told of no expectation.
        this.#exchange.continue()
      } else this.#exchange.inform(status, responseFields(status, fields))
    } catch {
      // The answer itself may still be one that can be said.
    }
  }

  onResponse(status: number, text: string, fields: string[], last = false): void {
    this.#phase = 'respond'
    const { method } = this.#options.request
    this.#bodiless = method === 'HEAD' || status === 204 || status === 304
    // A client of HTTP/2 is told in the same way; for one of HTTP/1.1 the body is empty.
    if (last && this.#exchange.head.http2) this.#bodiless = true
    if (hasUnknownCoding(fields)) {
      this.#refuseResponse()
      return
    }
    this.#spoken()
    const kept = this.#rewritten(responseFields(status, fields))
    // A refusal of a request that was not read to the end, with no other end than that of the
    // connection: the kernel makes a reset of that, and it is as whole as it can be known to be.
    this.#endsByReset =
      this.#body !== undefined && status >= 400 && endsWithConnection(fields)
    try {
      this.#exchange.represents(status, fields)
      this.#exchange.respond(status, text, kept, this.#bodiless)
      this.#status = status
    } catch {
      // A status or field that this version of HTTP can't say.
      this.#refuseResponse()
    }
  }

  onData(chunk: Buffer): void {
    relayed.count(chunk.length)
    if (!this.#clientGone && !this.#exchange.write(chunk)) this.#call?.pause()
  }

  onEnd(trailers: string[]): void {
    this.#underWay = false
    if (this.#status !== undefined && !this.#bodiless)
      this.#exchange.end(trailerFields(trailers))
    this.#settle()
  }

  onUpgrade(fields: string[], socket: Duplex): void {
    this.#underWay = false
    this.#phase = 'respond'
    if (this.#clientGone) {
      socket.destroy()
      this.#settle()
      return
    }
    const client = switchedClient(this.#exchange, fields, this.#webSocketKey)
    if (client === undefined) {
      socket.destroy()
      this.#fail(502, 'Bad Gateway', 'invalid-response')
      return
    }
    this.#tunnelled = true
    this.#status = this.#webSocketKey === undefined ? 101 : 200
    const { tunnels, limits } = this.#options
    tunnels.join(client, socket, {
      limits,
      onEnd: ({ bytes }) => {
        this.#tunnelled = false
        this.#tunnelBytes = bytes
        this.#clientGone = true
        this.#settle()
      },
    })
  }

  onError(error: Error): void {
    this.#underWay = false
    const bodyError = this.#body?.errored
    if (this.#clientGone || this.#failed || (this.#bodiless && this.#exchange.started)) {
      // An answer without body was whole: what came behind it is no matter of the client's.
      this.#settle()
    } else if (bodyError instanceof BodyError) {
      this.#refuseBody(bodyError)
    } else if (this.#phase === 'select' && isInvalidRequest(error)) {
      this.#fail(400, 'Bad Request', 'invalid-request')
    } else if (this.#status === undefined) {
      if (this.#limit !== undefined) this.#options.onLimit(this.#limit)
      const { status, text, code, retryAfter } = failureOf(error)
      this.#fail(status, text, code, retryAfter)
    } else if (this.#endsByReset && wasReset(error) && !this.#body?.readableEnded) {
      this.#exchange.end([])
      this.#settle()
    } else {
      const { status, text, code } = failureOf(error)
      this.#error = code
      // A reset would say INTERNAL. What was told stays, and is known not to be all.
      if (this.#duplex) {
        this.#exchange.end(grpcTrailers(status, text))
        this.#settle()
      } else this.#exchange.breakOff()
    }
  }

  #dispatch(): void {
    const { request, client, dispatcher, hop, user, place } = this.#options
    let fields = requestFields(request, this.#options)
    const { rewrite } = this.#options
    if (rewrite !== undefined) fields = rewrite.requestFields(fields, request.path)
    if (this.#webSocketKey !== undefined) {
      fields = filterFields(fields, name => name !== 'sec-websocket-key')
      fields.push('Sec-WebSocket-Key', this.#webSocketKey)
    }
    const held = this.#body !== undefined && request.expectContinue
    this.#underWay = true
    this.#call = dispatcher.dispatch(
      {
        method: request.websocket ? 'GET' : request.method,
        path: rewrite?.path(request.path) ?? request.path,
        fields,
        body: this.#body,
        upgrade: request.websocket ? 'websocket' : undefined,
        client: this.#exchange.connection.socket,
        network: client,
        trusted: hop.trusted,
        user,
        named: place?.client,
        fieldsAt: place && ((fields, origin) => place.requestFields(fields, origin)),
        urgency: this.#options.urgency,
        use: request.websocket ? 'upgrade' : held ? 'held' : 'request',
        duplex: this.#duplex
          ? { silence: this.#options.limits.tunnelTimeout }
          : undefined,
      },
      this,
    )
  }

  #rewritten(fields: string[]): string[] {
    const { rewrite, request, place } = this.#options
    const prefix = rewrite?.strippedOf(request.path)
    let named = fields
    if (prefix !== undefined) named = prefixLinks(named, prefix, request.authority)
    // The outermost part of a path comes last.
    if (place !== undefined) named = place.responseFields(named, this.#call?.backend)
    return rewrite?.responseFields(named) ?? named
  }

  /**
   * A stream whose client has said nothing yet, nor its backend, may be none: anybody can call a
   * request one. From the first word on it may be silent for long.
   */
  #spoken(): void {
    const { tunnelTimeout } = this.#options.limits
    if (this.#duplex && this.#body !== undefined) this.#body.patience = tunnelTimeout
  }

  #bodyArrived(): void {
    this.#options.onBody?.()
    if (this.#call === undefined) this.#dispatch()
    else this.#call.bodyArrived()
  }

  /** undici ends a body as well, whose error is that of its connection. */
  #bodyFailed(error: Error): void {
    if (!(error instanceof BodyError)) return
    if (this.#call === undefined) this.#refuseBody(error)
    else this.#call.abort(error)
  }

  #refuseBody(error: BodyError): void {
    this.#phase = 'forward'
    // RFC 9110 15.5.9: what is left of the body would stand in the way of the next request.
    if (!this.#exchange.head.http2) this.#exchange.final = true
    if (error.failure === 'too-large') this.#fail(413, 'Content Too Large', error.failure)
    else if (error.failure === 'timeout')
      this.#fail(408, 'Request Timeout', error.failure)
    // The parser has found the body malformed and will say so, or the client is gone.
    else this.#error = error.failure
  }

  /** What the backend said can't be passed on. */
  #refuseResponse(): void {
    this.#fail(502, 'Bad Gateway', 'invalid-response')
    this.#call?.abort(new Error('invalid response'))
  }

  #fail(status: number, text: string, code: string, retryAfter?: number): void {
    if (this.#failed) return
    this.#failed = true
    this.#error = code
    if (this.#clientGone) {
      this.#settle()
      return
    }
    if (this.#exchange.started) {
      this.#exchange.abort()
      return
    }
    this.#status = status
    answer(this.#exchange, status, text, retryAfterFields(retryAfter))
  }

  #clientClosed(): void {
    if (this.#tunnelled || this.#clientGone) return
    this.#clientGone = true
    if (!this.#underWay) {
      this.#settle()
      return
    }
    this.#body?.destroy(new BodyError('aborted'))
    this.#call?.abort(new Error('client gone'))
  }

  /** Both sides are done with: tell how it went. */
  #settle(): void {
    if (!this.#clientGone || this.#underWay || this.#tunnelled) return
    if (this.#settled) return
    this.#settled = true
    this.#body?.destroy()
    this.#options.onOutcome({
      status: this.#exchange.status ?? this.#status,
      bytes: this.#exchange.bytes + this.#tunnelBytes,
      phase: this.#phase,
      backend: this.#call?.backend,
      resumed: this.#call?.resumptions,
      error: this.#error,
    })
  }
}

/** RFC 9110 10.2.3. */
function retryAfterFields(seconds: number | undefined): Fields {
  return seconds === undefined ? [] : ['Retry-After', String(seconds)]
}
