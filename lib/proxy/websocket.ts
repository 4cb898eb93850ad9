import { createHash, randomBytes } from 'node:crypto'
import { type Fields, valuesOf } from './fields.ts'

/** RFC 6455 4.1: HTTP/2 clients send no key (RFC 8441 5.1), an HTTP/1.1 backend wants one. */
export function newWebSocketKey(): string {
  return randomBytes(16).toString('base64')
}

/** RFC 6455 4.2.2: whether the backend has understood that this is a WebSocket. */
export function accepts(key: string, fields: Fields): boolean {
  const expected = createHash('sha1')
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  return valuesOf(fields, 'sec-websocket-accept').join() === expected
}
