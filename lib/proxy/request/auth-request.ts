import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { AuthRequest } from '../../auth/request/request.ts'
import { lowerCase } from '../../http/fields.ts'
import type { Exchange } from '../client/exchange.ts'
import type { CheckedRequest } from '../message/request-check.ts'

/** A request of the proxy as authentication sees it. */
export function authRequestOf(
  exchange: Exchange,
  request: CheckedRequest,
  onGone: AuthRequest['onGone'],
): AuthRequest {
  let asked = false
  return {
    // A WebSocket over HTTP/2 is a GET that was said in another way (RFC 8441 5).
    method: request.websocket ? 'GET' : request.method,
    url: request.path,
    headers: headersOf(request),
    socket: exchange.connection.socket,
    onGone,
    exchange: {
      end: () => exchange.abort(),
      onOver: listener => {
        if (exchange.connection.exchanges.has(exchange)) exchange.onOver = listener
        else listener()
      },
    },
    /** Only a log-in form is read here, and its client may hold it back until it is wanted. */
    get body(): Readable {
      if (request.expectContinue && !asked && !exchange.started) exchange.continue()
      asked = true
      return exchange.source
    },
  }
}

/**
 * All values of a field count, joined: of two Authorization fields neither is believed, while
 * Node would take the first and a backend perhaps the second.
 */
function headersOf(request: CheckedRequest): IncomingHttpHeaders {
  const headers: Record<string, string> = Object.create(null)
  const { fields } = request
  for (let i = 0; i < fields.length; i += 2) {
    const name = lowerCase(fields[i] as string)
    const before = headers[name]
    const separator = name === 'cookie' ? '; ' : ', '
    const value = fields[i + 1] as string
    headers[name] = before === undefined ? value : before + separator + value
  }
  headers['host'] = request.authority
  return headers
}
