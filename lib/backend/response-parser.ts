import type { Duplex } from 'node:stream'

/**
 * The parser that undici puts on each connection, as far as it is touched here. None of it is
 * documented: where a part looks otherwise the parser is left as it is.
 */
interface Parser {
  statusText: string
  contentLength: string
  onStatus(bytes: Buffer): number
  onHeadersComplete(status: number, upgrade: boolean, keepAlive: boolean): number
}

/**
 * A 100 goes past undici under this number, which no backend can say: of all interim responses
 * it takes 100 alone for a fault and ends the connection (undici, lib/dispatcher/client-h1.js),
 * while RFC 9110 15.2 has a client, and a proxy above all, be ready for any of them at any time.
 */
const disguised100 = 100.5

/** The status as the backend said it. */
export function plainStatus(status: number): number {
  return status === disguised100 ? 100 : status
}

/**
 * Mends what the parser of a connection reads otherwise than a proxy has to pass it on. To be
 * called before the first response comes. Without effect on what is no parser of undici 7.
 */
export function mendParser(socket: Duplex): void {
  const parser = parserOf(socket)
  if (parser === undefined) return
  // A reason phrase is bytes, and may come in two reads: undici decodes each as UTF-8 and
  // keeps the last.
  parser.onStatus = bytes => {
    parser.statusText += bytes.toString('latin1')
    return 0
  }
  const complete = parser.onHeadersComplete
  parser.onHeadersComplete = (status, upgrade, keepAlive) => {
    // RFC 9110 8.6: with 304 it is the length that the body of a 200 would have, and undici
    // finds that body missing.
    if (status === 304) parser.contentLength = ''
    return complete.call(
      parser,
      status === 100 ? disguised100 : status,
      upgrade,
      keepAlive,
    )
  }
}

function parserOf(socket: Duplex): Parser | undefined {
  const symbol = Object.getOwnPropertySymbols(socket).find(
    ({ description }) => description === 'parser',
  )
  if (symbol === undefined) return undefined
  const parser = (socket as unknown as Record<symbol, unknown>)[symbol]
  return isParser(parser) ? parser : undefined
}

function isParser(candidate: unknown): candidate is Parser {
  const { statusText, contentLength, onStatus, onHeadersComplete } = (candidate ??
    {}) as Partial<Parser>
  return (
    typeof statusText === 'string' &&
    typeof contentLength === 'string' &&
    typeof onStatus === 'function' &&
    typeof onHeadersComplete === 'function'
  )
}
