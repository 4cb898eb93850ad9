import type { Duplex } from 'node:stream'
import type { Backend } from '../backend/backend.ts'
import type { BackendCall, BackendHandler } from '../backend/request.ts'
import type { Slot, SlotLimit, SlotUse } from '../backend/slots.ts'
import { Attempts } from '../dispatch/attempts.ts'
import { answer, type Exchange } from './exchange.ts'
import {
  closed,
  failureOf,
  isInvalidRequest,
  lostBeforeAnswer,
  wasReset,
} from './failure.ts'
import { type Fields, filterFields } from './fields.ts'
import type { Hop } from './forwarded.ts'
import {
  endsWithConnection,
  hasUnknownCoding,
  requestFields,
  responseFields,
  trailerFields,
} from './hop-fields.ts'
import type { Limits } from './options.ts'
import type { Phase } from './phases.ts'
import { BodyError, RequestBody } from './request-body.ts'
import type { CheckedRequest } from './request-check.ts'
import { tunnel } from './tunnel.ts'
import { newWebSocketKey, switchedClient } from './websocket.ts'

/** How a request ended, for the log. */
export interface Outcome {
  readonly status: number | undefined
  readonly bytes: number
  readonly phase: Phase
  readonly backend: string | undefined
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
  /** Backends to try, first choice first. */
  readonly candidates: readonly Backend[]
  readonly limits: Limits
  /** The network that the request counts for where backends are shared out. */
  readonly client: string | undefined
  /** Called when the request is turned away for a limit. */
  readonly onLimit: (limit: SlotLimit) => void
  /** Called once, when the first bytes of the body are there. */
  readonly onBody: () => void
  /** Called once, when both sides are done with. */
  readonly onOutcome: (outcome: Outcome) => void
}

/**
 * The way of one request to a backend and of its response to the client. Either side may be
 * the slower one, and either may vanish: each is told of the other at once.
 */
export class Forwarding implements BackendHandler {
  readonly #options: ForwardingOptions
  readonly #exchange: Exchange
  readonly #attempts: Attempts<Backend>
  readonly #webSocketKey: string | undefined
  #body: RequestBody | undefined
  #backend: Backend | undefined
  #slot: Slot | undefined
  /** No backend hears of the request before the first bytes of its body are there. */
  #awaitsBody = false
  #bodyArrived = false
  #busy: SlotLimit | undefined
  #call: BackendCall | undefined
  #phase: Phase = 'select'
  #status: number | undefined
  /** The answer that has begun ends with its header section. */
  #bodiless = false
  /** A reset is the end of the answer, as long as the request has not been sent in full. */
  #endsByReset = false
  #error: string | undefined
  /** The request is being written to a connection, or has been. */
  #sent = false
  #clientGone = false
  #tunnelled = false
  #tunnelBytes = 0
  #lastError: Error | undefined
  #backendName: string | undefined
  /** The proxy itself has answered: whatever the backend still says is too late. */
  #failed = false
  #settled = false

  constructor(options: ForwardingOptions) {
    this.#options = options
    this.#exchange = options.exchange
    const { socket } = options.exchange.connection
    const holder = options.candidates.find(backend => backend.holds(socket))
    this.#attempts = new Attempts(options.candidates, holder)
    const { request } = options
    this.#webSocketKey =
      request.websocket && request.method === 'CONNECT' ? newWebSocketKey() : undefined
  }

  start(): void {
    const { exchange, request, limits } = this.#options
    exchange.onClose = () => this.#clientClosed()
    exchange.onDrain = () => this.#call?.resume()
    if (request.bodyLength !== 0) {
      if (limits.maxBodyBytes > 0 && Number(request.bodyLength) > limits.maxBodyBytes) {
        this.#phase = 'forward'
        this.#fail(413, 'Content Too Large', 'too-large')
        return
      }
      this.#body = new RequestBody(exchange.source, {
        maxBytes: limits.maxBodyBytes,
        timeout: limits.bodyTimeout,
        // Not before a backend stands ready: a body nobody takes need not travel.
        onWanted: () => {
          if (request.expectContinue && !exchange.started) exchange.continue()
        },
        onArrived: () => this.#bodyHasArrived(),
      })
      // A client that holds its body back is asked for it when a backend stands ready.
      if (!request.expectContinue) {
        this.#awaitsBody = true
        this.#body.once('error', error => {
          if (this.#awaitsBody) this.#bodyFailed(error as BodyError)
        })
        this.#body.open()
        return
      }
    }
    this.#next()
  }

  onSend(call: BackendCall): void {
    this.#call = call
    this.#sent = true
    this.#phase = 'forward'
    if (this.#clientGone) call.abort(new Error('client gone'))
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

  onResponse(status: number, text: string, fields: string[]): void {
    this.#phase = 'respond'
    this.#backend?.answered()
    const { method } = this.#options.request
    this.#bodiless = method === 'HEAD' || status === 204 || status === 304
    if (hasUnknownCoding(fields)) {
      this.#refuseResponse()
      return
    }
    const kept = responseFields(status, fields)
    // A refusal of a request that was not read to the end, with no other end than that of the
    // connection: the kernel makes a reset of that, and it is as whole as it can be known to be.
    this.#endsByReset =
      this.#body !== undefined && status >= 400 && endsWithConnection(fields)
    try {
      this.#exchange.respond(status, text, kept, this.#bodiless)
      this.#status = status
    } catch {
      // A status or field that this version of HTTP can't say.
      this.#refuseResponse()
    }
  }

  onData(chunk: Buffer): void {
    if (!this.#clientGone && !this.#exchange.write(chunk)) this.#call?.pause()
  }

  onEnd(trailers: string[]): void {
    this.#releaseBackend()
    if (this.#status !== undefined && !this.#bodiless)
      this.#exchange.end(trailerFields(trailers))
    this.#settle()
  }

  onUpgrade(fields: string[], socket: Duplex): void {
    this.#phase = 'respond'
    this.#backend?.answered()
    if (this.#clientGone) {
      socket.destroy()
      this.#releaseBackend()
      this.#settle()
      return
    }
    const client = switchedClient(this.#exchange, fields, this.#webSocketKey)
    if (client === undefined) {
      socket.destroy()
      this.#releaseBackend()
      this.#fail(502, 'Bad Gateway', 'invalid-response')
      return
    }
    this.#tunnelled = true
    this.#slot?.become('tunnel')
    this.#status = this.#webSocketKey === undefined ? 101 : 200
    tunnel(client, socket, this.#options.limits, ({ bytes }) => {
      this.#tunnelled = false
      this.#tunnelBytes = bytes
      this.#clientGone = true
      this.#releaseBackend()
      this.#settle()
    })
  }

  onError(error: Error): void {
    const backend = this.#backend as Backend
    this.#releaseBackend()
    if (this.#clientGone || this.#failed || (this.#bodiless && this.#exchange.started)) {
      // An answer without body was whole: what came behind it is no matter of the client's.
      this.#settle()
      return
    }
    const body = this.#body?.errored
    if (body instanceof BodyError) {
      this.#bodyFailed(body)
      return
    }
    if (!this.#sent && isInvalidRequest(error)) {
      this.#fail(400, 'Bad Request', 'invalid-request')
      return
    }
    if (this.#status === undefined && !closed(error)) {
      // A kept-alive connection that was found dead says nothing of the backend.
      const stale = this.#call?.reused === true && lostBeforeAnswer(error)
      if (!stale) backend.failed()
    }
    if (!this.#sent) {
      // Not a byte has left: any request may try its luck elsewhere.
      this.#lastError = error
      this.#next()
      return
    }
    if (this.#mayRetry(error) && this.#attempts.retry(backend)) {
      this.#lastError = error
      this.#sent = false
      this.#call = undefined
      this.#next()
      return
    }
    if (this.#status !== undefined) {
      if (this.#endsByReset && wasReset(error) && !this.#body?.readableEnded) {
        this.#exchange.end([])
        this.#settle()
        return
      }
      this.#error = failureOf(error).code
      this.#exchange.breakOff()
      return
    }
    const failure = failureOf(error)
    this.#fail(failure.status, failure.text, failure.code)
  }

  #next(): void {
    const backend = this.#attempts.next()
    if (backend === undefined) {
      if (this.#busy !== undefined) this.#options.onLimit(this.#busy)
      const { status, text, code } = failureOf(this.#lastError)
      this.#fail(status, text, code)
      return
    }
    const { request, client } = this.#options
    const slot = backend.slots.take(this.#use(), client)
    if (typeof slot === 'string') {
      this.#busy = slot
      this.#lastError ??= Object.assign(new Error('full'), { code: 'busy' })
      this.#next()
      return
    }
    this.#backend = backend
    this.#slot = slot
    let fields = requestFields(request, this.#options)
    if (this.#webSocketKey !== undefined) {
      fields = filterFields(fields, name => name !== 'sec-websocket-key')
      fields.push('Sec-WebSocket-Key', this.#webSocketKey)
    }
    backend.send(
      {
        method: request.websocket ? 'GET' : request.method,
        path: request.path,
        fields,
        body: this.#body,
        upgrade: request.websocket ? 'websocket' : undefined,
        client: this.#exchange.connection.socket,
        // A tunnel keeps its connection: one of its own from the start is never stale.
        fresh: this.#attempts.retrying || request.websocket,
      },
      this,
    )
  }

  #use(): SlotUse {
    const { websocket, expectContinue } = this.#options.request
    if (websocket) return 'upgrade'
    return expectContinue && this.#body && !this.#bodyArrived ? 'held' : 'request'
  }

  #bodyHasArrived(): void {
    this.#bodyArrived = true
    this.#options.onBody()
    if (this.#awaitsBody) {
      this.#awaitsBody = false
      this.#next()
      return
    }
    const limit = this.#slot?.become('request')
    if (limit === undefined) return
    this.#options.onLimit(limit)
    this.#fail(503, 'Service Unavailable', 'busy')
    this.#call?.abort(new Error('busy'))
  }

  /**
   * RFC 9110 9.2.2: a request may be sent again on its own when doing it twice does no harm. A
   * kept-alive connection that the backend closes just then is the usual case.
   */
  #mayRetry(error: Error): boolean {
    const { method, bodyLength, websocket } = this.#options.request
    const harmless = method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
    return (
      harmless &&
      bodyLength === 0 &&
      !websocket &&
      this.#status === undefined &&
      lostBeforeAnswer(error)
    )
  }

  #bodyFailed(error: BodyError): void {
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

  #fail(status: number, text: string, code: string): void {
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
    answer(this.#exchange, status, text)
  }

  #clientClosed(): void {
    if (this.#tunnelled || this.#clientGone) return
    this.#clientGone = true
    if (this.#backend === undefined) {
      this.#settle()
      return
    }
    // Still connecting: `onSend` will see that nobody waits any more.
    this.#body?.destroy(new BodyError('aborted'))
    this.#call?.abort(new Error('client gone'))
  }

  #releaseBackend(): void {
    this.#backendName = this.#backend?.origin ?? this.#backendName
    this.#backend?.release()
    this.#backend = undefined
    this.#slot?.release()
    this.#slot = undefined
  }

  /** Both sides are done with: tell how it went. */
  #settle(): void {
    if (!this.#clientGone || this.#backend !== undefined || this.#tunnelled) return
    if (this.#settled) return
    this.#settled = true
    this.#body?.destroy()
    this.#options.onOutcome({
      status: this.#exchange.status ?? this.#status,
      bytes: this.#exchange.bytes + this.#tunnelBytes,
      phase: this.#phase,
      backend: this.#backendName,
      error: this.#error,
    })
  }
}
