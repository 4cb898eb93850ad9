import type { Log } from '../log.ts'
import { logRequest, logUnreadable } from './access-log.ts'
import { answer, type Exchange } from './exchange.ts'
import { Forwarding, type Outcome } from './forwarding.ts'
import type { Unreadable } from './http1.ts'
import type { Limits } from './options.ts'
import type { Phase } from './phases.ts'
import { type CheckedRequest, checkRequest } from './request-check.ts'
import type { ServedSite, Sites } from './sites.ts'

/** What may change under a request handler's feet; each request sees one state of it. */
export interface Serving {
  readonly sites: Sites
  readonly limits: Limits
}

/** Takes each request through its phases (phases.ts) and sees to its line in the log. */
export class RequestHandler {
  readonly #serving: () => Serving
  readonly #trusts: (address: string) => boolean
  readonly #log: Log
  #total = 0

  constructor(serving: () => Serving, trusts: (address: string) => boolean, log: Log) {
    this.#serving = serving
    this.#trusts = trusts
    this.#log = log
  }

  /** Requests so far. */
  get total(): number {
    return this.#total
  }

  unreadable(unreadable: Unreadable): void {
    logUnreadable(this.#log, unreadable)
  }

  handle(exchange: Exchange): void {
    this.#total++
    const began = performance.now()
    const { sites, limits } = this.#serving()
    const finish = (outcome: Outcome) =>
      logRequest(this.#log, exchange, outcome, performance.now() - began)
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
    const request = checkRequest(exchange.head)
    if ('status' in request) {
      // Where the next request begins is anybody's guess now.
      exchange.final = true
      refuse('check', request.status, request.reason)
      return
    }

    const site = sites.find(request.hostname)
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
    this.#forward(exchange, request, site, limits, finish)
  }

  #forward(
    exchange: Exchange,
    request: CheckedRequest,
    site: ServedSite,
    limits: Limits,
    onOutcome: (outcome: Outcome) => void,
  ): void {
    const { connection } = exchange
    new Forwarding({
      exchange,
      request,
      hop: {
        clientAddress: connection.clientAddress,
        localPort: connection.localPort,
        authority: request.authority,
        trusted: this.#trusts(connection.clientAddress),
      },
      clientCertificate:
        site.clientCertificate === 'off' ? undefined : connection.clientCertificate,
      candidates: site.rotation.candidates(),
      limits,
      onOutcome,
    }).start()
  }
}

/** What they take on HTTP/1.1. Node's own limit leaves colons and line ends out. */
function fieldBytes({ head }: Exchange): number {
  let bytes = head.method.length + head.target.length + (head.authority?.length ?? 0)
  for (const part of head.fields) bytes += part.length + 2
  return bytes
}
