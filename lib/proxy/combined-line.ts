/** What the combined format says of a request. Text is as it came from the client. */
export interface CombinedRequest {
  readonly client: string
  readonly user: string | undefined
  /** Milliseconds since 1970. */
  readonly time: number
  readonly method: string
  /** Without query. */
  readonly path: string
  readonly httpVersion: string
  readonly status: number
  readonly bytes: number
  readonly referer: string | undefined
  readonly agent: string | undefined
}

/** Longest text of a client that goes into the log. */
const maxLength = 512

/**
 * A line of the combined format of Apache and nginx, which tools for logs read:
 *
 *      client - user [28/Nov/2026:18:33:18 +0000] "GET /a HTTP/1.1" 200 12 "referer" "agent"
 *
 * Bytes that could end a field or a line are written as nginx writes them, \xHH. Queries are left
 * out, of the referer as well, and so is the log-in of a URL: they carry secrets.
 */
export function combinedLine(request: CombinedRequest): string {
  const { client, user, time, method, path, httpVersion, status, bytes } = request
  const version = httpVersion.includes('.') ? httpVersion : `${httpVersion}.0`
  return (
    `${client || '-'} - ${user ? inWord(user) : '-'} [${clockTime(time)}]` +
    ` "${quotable(method)} ${inWord(path)} HTTP/${quotable(version)}" ${status} ${bytes}` +
    ` ${field(refererOf(request))} ${field(request.agent)}\n`
  )
}

/** For bytes that were no request. */
export function combinedUnreadable(client: string, time: number, status: number): string {
  return `${client || '-'} - - [${clockTime(time)}] "-" ${status} 0 "-" "-"\n`
}

function refererOf({ referer }: CombinedRequest): string | undefined {
  return referer
    ?.replace(/[?#].*$/s, '')
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/]*@/i, '$1')
}

function field(text: string | undefined): string {
  return text ? `"${quotable(text)}"` : '"-"'
}

/** Nothing in it ends the quotes or the line. */
function quotable(text: string): string {
  if (text.length <= maxLength && /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(text))
    return text
  const short = text.length > maxLength ? `${text.slice(0, maxLength)}...` : text
  return short.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, escaped)
}

/** Nor a word. */
function inWord(text: string): string {
  return quotable(text).replaceAll(' ', '\\x20')
}

function escaped(char: string): string {
  const code = char.charCodeAt(0)
  const bytes = code <= 0xff ? [code] : [...Buffer.from(char)]
  return bytes
    .map(byte => `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`)
    .join('')
}

let second = Number.NaN
let secondText = ''

/** `28/Nov/2026:18:33:18 +0000`; made once for each second. */
function clockTime(time: number): string {
  const now = Math.floor(time / 1000)
  if (now !== second) {
    // RFC 9110's form of the date has the same parts: `Sat, 28 Nov 2026 18:33:18 GMT`.
    const [, day, month, year, clock] = new Date(time).toUTCString().split(' ')
    second = now
    secondText = `${day}/${month}/${year}:${clock} +0000`
  }
  return secondText
}
