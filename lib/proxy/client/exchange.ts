import type { Duplex, Readable } from 'node:stream'
import type { Fields } from '../../http/fields.ts'
import { grpcFailure, isGrpc } from '../message/grpc.ts'
import type { RequestHead } from '../message/request-check.ts'
import type { ClientConnection, OpenExchange } from './client-connection.ts'

/**
 * One request and its answer, on either version of HTTP. It hides how each says things; what
 * is said is not its business.
 */
export interface Exchange extends OpenExchange {
  readonly connection: ClientConnection
  readonly head: RequestHead
  /** The body as it comes from the client. Nothing flows before somebody listens. */
  readonly source: Readable
  /** The whole request has arrived. */
  readonly complete: boolean
  /** The final response has begun. */
  readonly started: boolean
  /** Status of the final response. */
  readonly status: number | undefined
  /**
   * To be set before `respond`: nothing that follows on this connection can be read any more,
   * so it ends with this answer. Of HTTP/2 only the stream ends.
   */
  final: boolean
  /** Bytes of the response body so far. */
  readonly bytes: number
  /** Asks the client for the body it holds back (RFC 9110 10.1.1); once is enough. */
  continue(): void
  /**
   * Sends an interim response, unless this client can't be sent any. Throws when the fields
   * can't be said.
   */
  inform(status: number, fields: Fields): void
  /**
   * What a backend says of the final response, before anything of it is changed: right before
   * `respond`. What the proxy says itself represents nothing.
   */
  represents(status: number, fields: Fields): void
  /**
   * Begins the final response. `last` when no body follows. Throws when the fields can't be
   * said in this version of HTTP; nothing was sent then.
   */
  respond(status: number, text: string, fields: Fields, last: boolean): void
  /** False when the client is slow: wait for `onDrain`. */
  write(chunk: Buffer): boolean
  end(trailers: Fields): void
  /** Switches protocols; the stream belongs to the caller from now on. */
  upgrade(fields: Fields): Duplex
  /** The same, on HTTP/1.x once the client has taken what was written so far. */
  breakOff(): void
  onDrain: () => void
  /** Called once: the answer has been sent in full, or the client is gone. */
  onClose: () => void
  /** Called after that, whoever has set the other meanwhile. */
  onOver: () => void
}

/** Answers with a short text: for most that the proxy says itself. Never throws. */
export function answer(
  exchange: Exchange,
  status: number,
  text: string,
  more: Fields = [],
): void {
  if (isGrpc(exchange.head)) {
    reply(exchange, 200, grpcFailure(status, text), Buffer.alloc(0))
    return
  }
  const body = Buffer.from(`${status} ${text}\n`)
  const fields = [
    'Content-Type',
    'text/plain; charset=utf-8',
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
    ...more,
  ]
  reply(exchange, status, fields, body)
}

/** Answers with a whole body, whose length the fields say. Never throws. */
export function reply(
  exchange: Exchange,
  status: number,
  fields: Fields,
  body: Buffer,
): void {
  const silent = exchange.head.method === 'HEAD' || body.length === 0
  try {
    exchange.respond(status, '', fields, silent)
    if (silent) return
    exchange.write(body)
    exchange.end([])
  } catch {
    // The client went away in this very moment.
    exchange.abort()
  }
}
