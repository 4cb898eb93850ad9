import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemClock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import { explainListening } from '../listen-error.ts'
import type { Log } from '../log.ts'
import { Callers } from './callers.ts'
import { page, pageFields } from './dashboard/page.ts'
import { readDrainRequest } from './drain-request.ts'
import { Events } from './events.ts'
import { ownNames } from './own-name.ts'
import { answerProbe } from './probes.ts'
import { readRevocation } from './revocation-request.ts'
import { contentType } from './section/exposition.ts'
import { type Administered, metricsOf, statusOf } from './status.ts'

export interface AdminOptions {
  readonly farm: Administered
  /** Default 127.0.0.1: status and metrics are for whoever reaches the port. */
  readonly host?: string | undefined
  /** 0 picks a free one. */
  readonly port: number
  /**
   * What a caller must show as bearer token to revoke, and to see what is revoked. Undefined:
   * neither can be done over this port.
   */
  readonly token: string | undefined
  /**
   * Names in the Host field under which the port may be called, beside addresses, localhost,
   * `host` and the machine's name. Others are answered 421.
   */
  readonly names?: readonly string[] | undefined
  /** Why this host wants no clients now, in words; undefined: it does. Default: it does. */
  readonly notReady?: (() => string | undefined) | undefined
  /** Called when whoever shows the token asks for it; false: not now. Default: nobody can. */
  readonly onAsked?: ((word: AskedWord) => boolean) | undefined
  readonly log: Log
}

/** What a process that serves may be asked for from outside, as by a signal. */
export type AskedWord = 'reload' | 'drain' | 'move' | 'upgrade'

export interface Admin {
  readonly host: string
  readonly port: number
  /** What a caller must show to revoke; undefined where nobody can, for want of a farm secret. */
  readonly token: string | undefined
  close(): Promise<void>
}

/** The dashboard, GET /metrics, /status and so on, POST /revoke, on a port of their own. */
export async function createAdmin(options: AdminOptions): Promise<Admin> {
  const {
    farm,
    log,
    host = '127.0.0.1',
    names = [],
    notReady = () => undefined,
    onAsked,
  } = options
  const isOwn = ownNames(host, names)
  const callers = new Callers(100)
  const events = new Events({
    clock: systemClock,
    history: () => farm.wide.history(),
    status: () => statusOf(farm),
  })
  farm.wide.start()
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    if (answerProbe(request, response, notReady)) return
    if (!isOwn(request.headers.host)) return misdirected(response)
    const trusted = showsToken(request, options.token)
    if (trusted) callers.trust(request.socket)
    for (const [name, value] of safely) response.setHeader(name, value)
    if (isForeign(request)) return send(response, 403, { error: 'asked by another site' })
    answer({ request, response, farm, events, trusted, onAsked }).catch(error => {
      log.warn({ code: error?.code, path: request.url }, 'admin request failed')
      if (!response.headersSent) send(response, 500, { error: 'internal error' })
      else response.destroy()
    })
  })
  server.on('connection', socket => callers.add(socket))
  // Requests sent ahead of their answers are all begun at once; the rest of them is answered 503.
  server.maxRequestsPerSocket = mostRequests
  // Also for who asks and does not read: a place among the hundred is not kept for them.
  server.timeout = 30_000
  // The workers of a node:cluster share the port: any of them answers for all.
  server.listen({ port: options.port, host })
  await once(server, 'listening').catch(error => {
    throw explainListening({ host, port: options.port }, error)
  })
  // Running out of descriptors ends neither the listener nor the process.
  server.on('error', error => log.error({ error: String(error) }, 'admin port failed'))
  const { port } = server.address() as AddressInfo
  log.info({ host, port, farm: farm.name }, 'admin listens')
  return {
    host,
    port,
    token: options.token,
    close() {
      events.close()
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      server.closeAllConnections()
      return closed
    },
  }
}

interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly farm: Administered
  readonly events: Events
  /** It shows the token. */
  readonly trusted: boolean
  readonly onAsked: AdminOptions['onAsked']
}

async function answer(call: Call): Promise<void> {
  const { request, response, farm, events, trusted } = call
  switch (`${request.method} ${request.url}`) {
    case 'GET /':
      response.writeHead(200, pageFields)
      response.end(page)
      return
    case 'GET /events':
      events.listen(response)
      return
    case 'GET /metrics':
      response.setHeader('content-type', contentType)
      response.end(await metricsOf(farm))
      return
    case 'GET /status':
      send(response, 200, await statusOf(farm))
      return
    // It names users: not for everybody who reaches the port.
    case 'GET /revocations':
      if (!trusted) return refuse(response)
      send(response, 200, { revocations: farm.revocations() })
      return
    case 'POST /revoke':
      if (!trusted) return refuse(response)
      await obey(response, async () => {
        const { target, ...how } = readRevocation(await bodyOf(request))
        return await farm.revoke(target, how)
      })
      return
    case 'POST /backends':
      if (!trusted) return refuse(response)
      await obey(response, async () => {
        const { action, origin } = readDrainRequest(await bodyOf(request))
        return await farm.drains[action](origin)
      })
      return
    case 'POST /reload':
      return trusted ? ask(call, 'reload') : refuse(response)
    case 'POST /drain':
      return trusted ? ask(call, 'drain') : refuse(response)
    case 'POST /move':
      return trusted ? ask(call, 'move') : refuse(response)
    case 'POST /upgrade':
      return trusted ? ask(call, 'upgrade') : refuse(response)
    default:
      send(response, 404, {
        error:
          'not found: /, /events, /metrics, /status, /healthz, /readyz, /revocations, ' +
          'POST /revoke, /backends, /reload, /drain, /move, /upgrade',
      })
  }
}

function ask({ request, response, onAsked }: Call, word: AskedWord): void {
  request.resume()
  if (onAsked === undefined) {
    send(response, 400, { error: `this process has no ${word}` })
    return
  }
  if (onAsked(word)) send(response, 202, { asked: word })
  else send(response, 503, { error: 'not up yet' })
}

/** What is told here is for nobody to keep, to frame, to embed or to take for something else. */
const safely = [
  ['cache-control', 'no-store'],
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
  ['cross-origin-resource-policy', 'same-origin'],
  ['cross-origin-opener-policy', 'same-origin'],
  ['referrer-policy', 'no-referrer'],
] as const

/**
 * A browser asks, and not for a page of this port, nor for one that somebody follows a link to
 * (Fetch Metadata). No other site could read the answer; it need not be made.
 */
function isForeign({ url, headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site']
  if (site === undefined || site === 'same-origin' || site === 'none') return false
  return url !== '/' || headers['sec-fetch-mode'] !== 'navigate'
}

function misdirected(response: ServerResponse): void {
  const error = 'not called by an address or a name of its own: see admin.names'
  send(response, 421, { error })
}

function refuse(response: ServerResponse): void {
  send(response, 401, { error: 'a bearer token made from the farm secret is needed' })
}

/** Does as it is told, and says what came of it or what is wrong with it. */
async function obey(response: ServerResponse, act: () => Promise<object>): Promise<void> {
  try {
    send(response, 200, await act())
  } catch (error) {
    if (!(error instanceof HandfastError)) throw error
    const status = error.code === 'ERR_HANDFAST_CLOSED' ? 503 : 400
    send(response, status, { error: error.message })
  }
}

/** Of one connection; then it closes. */
const mostRequests = 20
const longestBody = 4096

/** Reads to the end, whatever comes: the answer to a request half read would be lost. */
async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length <= longestBody) chunks.push(chunk)
  }
  if (length <= longestBody) return Buffer.concat(chunks).toString()
  throw new HandfastError('ERR_HANDFAST_USAGE', `body of more than ${longestBody} bytes`)
}

/** Digests have one length, so that the comparison tells nothing of where they differ. */
function showsToken(request: IncomingMessage, token: string | undefined): boolean {
  if (token === undefined) return false
  const digest = (text: string) => createHash('sha256').update(text).digest()
  const shown = digest(request.headers.authorization ?? '')
  return timingSafeEqual(shown, digest(`Bearer ${token}`))
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(body)}\n`)
}
