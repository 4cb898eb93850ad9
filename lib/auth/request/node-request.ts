import type { IncomingMessage, ServerResponse } from 'node:http'
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { Answer } from '../decision.ts'
import type { Identity } from '../identity.ts'
import type { AuthRequest, OpenExchange } from './request.ts'

/** A request that passed `auth.middleware()`. */
export type Authenticated<T> = T & { auth?: Identity | undefined }

type NodeRequest = (IncomingMessage | Http2ServerRequest) & {
  /** Express and Connect: the url before mounting took a part of it away. */
  readonly originalUrl?: string
  /** Express and Fastify: set by a body parser. */
  readonly body?: unknown
}

/**
 * Reads a request of node:http, node:https or node:http2, also inside Express or Connect. The
 * response tells when it is over; without one, as for a WebSocket, the stream or socket does.
 */
export function authRequest(
  request: IncomingMessage | Http2ServerRequest,
  response?: ServerResponse | Http2ServerResponse,
): AuthRequest {
  const { originalUrl, body } = request as NodeRequest
  return {
    method: request.method ?? 'GET',
    url: originalUrl ?? request.url ?? '/',
    headers: request.headers,
    socket: request.socket,
    body: request,
    onGone: 'stream' in request ? listener => onceClosed(request, listener) : undefined,
    exchange: exchangeOf(request, response),
    fields:
      typeof body === 'object' && body !== null && !Buffer.isBuffer(body)
        ? (body as Record<string, unknown>)
        : undefined,
  }
}

/** A stream of HTTP/2 may end long before its connection. */
function onceClosed({ stream }: Http2ServerRequest, listener: () => void): () => void {
  stream?.once('close', listener)
  return () => stream?.off('close', listener)
}

/** One object for each request, by which a log-out knows itself. */
const exchanges = new WeakMap<object, OpenExchange>()

function exchangeOf(
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse | undefined,
): OpenExchange | undefined {
  const known = exchanges.get(request)
  if (known !== undefined) return known
  const exchange = makeExchange(request, response)
  if (exchange !== undefined) exchanges.set(request, exchange)
  return exchange
}

function makeExchange(
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse | undefined,
): OpenExchange | undefined {
  if ('stream' in request) {
    const { stream } = request
    return {
      end: () => stream.close(constants.NGHTTP2_CANCEL),
      onOver: listener => {
        if (stream.destroyed) listener()
        else stream.once('close', listener)
      },
    }
  }
  const { socket } = request
  const end = () => socket.destroy()
  // Node hands the socket over, and its response, if somebody made one, hears of nothing more.
  const upgraded = (request as { upgrade?: boolean }).upgrade === true
  const told = upgraded ? socket : response
  if (typeof told?.once !== 'function') return undefined
  return {
    end,
    onOver: listener => {
      if (socket.destroyed || told.writableFinished) listener()
      else told.once('close', listener)
    },
  }
}

/** Sends an answer with a response of node:http, node:https or node:http2. */
export function sendAnswer(
  response: ServerResponse | Http2ServerResponse,
  { status, headers, body }: Answer,
): void {
  response.statusCode = status
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  response.end(body)
}
