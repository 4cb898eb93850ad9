import type { Duplex } from 'node:stream'

/**
 * The parser that undici puts on each connection, as far as it is touched here. None of it is
 * documented: where a part looks otherwise the parser is left as it is.
 */
interface Parser {
  statusText: string
  contentLength: string
  readonly headers: readonly Buffer[]
  readonly ptr: unknown
  shouldKeepAlive: boolean
  readonly llhttp: Readonly<Record<string, (parser: unknown, on?: number) => unknown>>
  onStatus(bytes: Buffer): number
  onHeadersComplete(status: number, upgrade: boolean, keepAlive: boolean): number
  onMessageComplete(): number
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
  for (const leniency of leniencies) parser.llhttp[leniency]?.(parser.ptr, 1)
  /** What the header section said. */
  let length = ''
  const complete = parser.onHeadersComplete
  parser.onHeadersComplete = (status, upgrade, keepAlive) => {
    const coding = codingOf(parser.headers)
    // The parser saw no chunks where others would, and would pass them on as they are.
    if (
      /chunked/i.test(coding) &&
      parser.llhttp['llhttp_message_needs_eof']?.(parser.ptr)
    ) {
      return -1
    }
    // RFC 9112 6.3: a length beside chunks says nothing. RFC 9110 8.6: with 304 it is the length
    // that the body of a 200 would have, and with 204 it should not be there. undici finds that
    // body missing.
    const both = parser.contentLength !== '' && coding !== ''
    // Who sends both is not asked again, nor who says that a 204 has a body: if it comes, it
    // would be the answer to somebody else.
    const last = both || (status === 204 && Number(parser.contentLength) > 0)
    if (both || status === 304 || status === 204) parser.contentLength = ''
    length = parser.contentLength
    const said = status === 100 ? disguised100 : status
    return complete.call(parser, said, upgrade, keepAlive && !last)
  }
  const over = parser.onMessageComplete
  parser.onMessageComplete = () => {
    if (parser.headers.length > 0) {
      // Trailers say nothing of where a message ends (RFC 9110 6.5.1), and undici takes a length
      // from them. A `close` from there ends the connection for llhttp, which would refuse the
      // answer to the next request on it.
      parser.contentLength = length
      if (parser.llhttp['llhttp_should_keep_alive']?.(parser.ptr) === 0) {
        parser.shouldKeepAlive = false
      }
    }
    return over.call(parser)
  }
}

/**
 * Control bytes and folded lines in values, and a length beside chunks: nginx and HAProxy take
 * them from backends. Line ends stay strict, and no control byte is passed on.
 */
const leniencies = ['llhttp_set_lenient_headers', 'llhttp_set_lenient_chunked_length']

/** What Transfer-Encoding says, empty when it is not there. */
function codingOf(headers: readonly Buffer[]): string {
  let coding = ''
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as Buffer
    if (name.length === 17 && /^transfer-encoding$/i.test(name.toString('latin1'))) {
      coding += (headers[i + 1] as Buffer).toString('latin1')
    }
  }
  return coding
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
  const parser = (candidate ?? {}) as Partial<Parser>
  const { statusText, contentLength, shouldKeepAlive, headers, llhttp } = parser
  return (
    typeof statusText === 'string' &&
    typeof contentLength === 'string' &&
    Array.isArray(headers) &&
    typeof llhttp === 'object' &&
    typeof shouldKeepAlive === 'boolean' &&
    typeof parser.onStatus === 'function' &&
    typeof parser.onHeadersComplete === 'function' &&
    typeof parser.onMessageComplete === 'function'
  )
}
