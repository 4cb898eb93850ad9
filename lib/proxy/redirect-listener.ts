import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { LimitCounters } from '../limit/limit-counters.ts'
import { networkOf } from '../limit/network.ts'
import { Shares, usualShare } from '../limit/shares.ts'
import type { Log } from '../log.ts'
import {
  type AcceptedProxyProtocol,
  acceptProxyProtocol,
} from '../proxy-protocol/accept-proxy-protocol.ts'
import type { AccessLog } from './access-log.ts'
import { answerChallenge, challengePath } from './acme-challenge.ts'
import { closeSoon } from './client/linger.ts'
import { plainAddress } from './message/forwarded.ts'
import { type CheckedRequest, checkRequest } from './message/request-check.ts'

export interface RedirectOptions {
  readonly host?: string | undefined
  /** 0 picks a free one. */
  readonly port: number
  /** Where clients find HTTPS. */
  readonly httpsPort: number
  /** Whether a host name, in lower case, has a site. */
  serves(hostname: string): boolean
  /** Where ACME challenges of http-01 are answered from; see answerChallenge. Default: nowhere. */
  readonly acmeChallenge?: string | undefined
  /** See ProxyOptions. */
  readonly proxyProtocol?: readonly string[] | undefined
  readonly limitCounters: LimitCounters
  readonly accessLog: AccessLog
  readonly log: Log
}

/** Open at a time; each is one request, and gone after it. */
const maxConnections = 1_000
/** Milliseconds for a whole request. */
const requestTimeout = 10_000

/**
 * A port of plain HTTP that sends each client to HTTPS: to the same host and path, as long as the
 * host is one of a site. It passes nothing on, but may answer ACME challenges.
 */
export class RedirectListener {
  readonly #options: RedirectOptions
  readonly #server: Server
  readonly #proxyProtocol: AcceptedProxyProtocol
  readonly #shares = new Shares({ most: maxConnections, share: usualShare })

  constructor(options: RedirectOptions) {
    this.#options = options
    const { log, proxyProtocol: from = [] } = options
    this.#server = createServer({
      requireHostHeader: false,
      maxHeaderSize: 16_384,
      headersTimeout: requestTimeout,
      requestTimeout,
      connectionsCheckingInterval: 1_000,
      keepAlive: false,
    })
    this.#server.maxConnections = maxConnections
    this.#server.timeout = 2 * requestTimeout
    // What a client sends ahead of the answer would all be begun at once.
    this.#server.maxRequestsPerSocket = 1
    this.#server.on('connection', socket => this.#track(socket))
    this.#server.on('drop', dropped => this.#tooMany(dropped?.remoteAddress ?? ''))
    this.#server.on('request', (request, response) => {
      this.#answer(request, response).catch(() => response.destroy())
    })
    this.#proxyProtocol = acceptProxyProtocol(this.#server, { from, log })
  }

  /** Rejects when the port can't be had. */
  async listen(): Promise<void> {
    const { host, port } = this.#options
    this.#server.listen({ port, ...(host === undefined ? {} : { host }) })
    await once(this.#server, 'listening')
    this.#server.on('error', error => this.#options.log.error({ error: String(error) }))
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Other balancers, for connections from now on. */
  setProxyProtocol(from: readonly string[]): void {
    this.#proxyProtocol.setFrom(from)
  }

  /** There is nothing to wait for: what it has to say is short. */
  async close(): Promise<void> {
    this.#proxyProtocol.close()
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  #track(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress ?? '')
    const network = networkOf(address)
    if (!this.#shares.take(network)) {
      this.#tooMany(address)
      socket.destroy()
      return
    }
    socket.once('close', () => this.#shares.release(network))
    // A client may be sending still, and a reset would overtake the answer.
    socket.destroySoon = () => closeSoon(socket)
  }

  #tooMany(address: string): void {
    this.#options.limitCounters.met('redirect', plainAddress(address))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { acmeChallenge } = this.#options
    const method = request.method as string
    const checked = checkRequest({
      method,
      target: request.url as string,
      httpVersion: request.httpVersion,
      http2: false,
      fields: request.rawHeaders,
    })
    if ('status' in checked) {
      this.#send(request, response, checked.status, checked.reason)
      return
    }
    const path = checked.path.split('?', 1)[0] as string
    if (acmeChallenge !== undefined && path.startsWith(challengePath)) {
      if (method !== 'GET' && method !== 'HEAD') {
        this.#send(request, response, 405, 'Method Not Allowed', { Allow: 'GET, HEAD' })
        return
      }
      // Of any name: its site may have to wait for this very certificate.
      const token = path.slice(challengePath.length)
      const said = await answerChallenge(acmeChallenge, token, checked.authority)
      this.#send(request, response, said.status, said.body)
      return
    }
    this.#redirect(request, response, checked)
  }

  #redirect(
    request: IncomingMessage,
    response: ServerResponse,
    { method, hostname, path }: CheckedRequest,
  ): void {
    const { httpsPort, serves } = this.#options
    if (hostname === '') {
      this.#send(request, response, 400, 'no Host')
      return
    }
    // A host of somebody else's would be a way to lead others there under our address.
    if (!serves(hostname)) {
      this.#send(request, response, 421, 'Misdirected Request')
      return
    }
    const port = httpsPort === 443 ? '' : `:${httpsPort}`
    const location = `https://${hostname}${port}${path}`
    // RFC 9110 15.4.9: 308 keeps method and body, which 301 need not; 301 is known to all.
    const status = method === 'GET' || method === 'HEAD' ? 301 : 308
    this.#send(request, response, status, STATUS_CODES[status] as string, {
      Location: location,
    })
  }

  #send(
    request: IncomingMessage,
    response: ServerResponse,
    status: number,
    said: string | Buffer,
    fields: Readonly<Record<string, string>> = {},
  ): void {
    const body = typeof said === 'string' ? Buffer.from(`${status} ${said}\n`) : said
    response.writeHead(status, {
      ...fields,
      'Content-Type': 'text/plain; charset=utf-8',
      'Content-Length': body.length,
      Connection: 'close',
    })
    const client = plainAddress(request.socket.remoteAddress ?? '')
    response.on('close', () => this.#options.accessLog.plain(request, status, client))
    response.end(request.method === 'HEAD' ? undefined : body)
  }
}
