import { createHash, randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { type Fields, filterFields, tokensOf, valuesOf } from '../../http/fields.ts'
import type { Exchange } from '../client/exchange.ts'
import { responseFields } from '../message/hop-fields.ts'

/** RFC 6455 4.1: HTTP/2 clients send no key (RFC 8441 5.1), an HTTP/1.1 backend wants one. */
export function newWebSocketKey(): string {
  return randomBytes(16).toString('base64')
}

/**
 * Tells the client of the backend's 101. Undefined when that is no switch to a WebSocket, or none
 * that can be passed on. `key`: the one that was sent for a client of HTTP/2.
 */
export function switchedClient(
  exchange: Exchange,
  fields: Fields,
  key: string | undefined,
): Duplex | undefined {
  if (tokensOf(fields, 'upgrade').join() !== 'websocket') return undefined
  if (key !== undefined && !accepts(key, fields)) return undefined
  const kept = responseFields(101, fields)
  try {
    return exchange.upgrade(
      key === undefined
        ? [...kept, 'Upgrade', 'websocket']
        : filterFields(kept, name => name !== 'sec-websocket-accept'),
    )
  } catch {
    return undefined
  }
}

/** RFC 6455 4.2.2: whether the backend has understood that this is a WebSocket. */
function accepts(key: string, fields: Fields): boolean {
  const expected = createHash('sha1')
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  return valuesOf(fields, 'sec-websocket-accept').join() === expected
}
