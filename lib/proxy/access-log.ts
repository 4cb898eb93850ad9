import { type Fields, valuesOf } from '../http/fields.ts'
import type { Log } from '../log.ts'
import { handshakeOf } from '../resumption/handshake.ts'
import type { ClientConnection } from './client/client-connection.ts'
import type { Exchange } from './client/exchange.ts'
import type { Unreadable } from './client/http1.ts'
import { combinedLine, combinedUnreadable } from './combined-line.ts'
import { clientBehind } from './message/forwarded.ts'
import type { AccessLogTarget } from './options.ts'
import type { Outcome } from './relay/forwarding.ts'

/** Longest text of a client that goes into the log. */
const maxLength = 512

/** One line per request. */
export interface AccessLog {
  request(
    exchange: Exchange,
    outcome: Outcome,
    milliseconds: number,
    user: string | undefined,
  ): void
  /** For bytes that are no request: there is not much to say. */
  unreadable(unreadable: Unreadable): void
  /** For one in plain HTTP, which is answered with little. */
  plain(request: PlainRequest, status: number, client: string): void
}

/** As Node has it. */
export interface PlainRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly httpVersion: string
  readonly rawHeaders: readonly string[]
}

/** Lines for `target`; undefined: into `log`, at level info. */
export function createAccessLog(
  target: AccessLogTarget | 'off' | undefined,
  log: Log,
  trusts: (address: string) => boolean,
): AccessLog {
  if (target === 'off') return { request() {}, unreadable() {}, plain() {} }
  if (target === undefined) return new JsonAccessLog(text => tell(log, text), trusts)
  const { format, write } = target
  if (format === 'combined') return new CombinedAccessLog(write, trusts)
  return new JsonAccessLog(
    text => write(`{"time":"${new Date().toISOString()}",${text}}\n`),
    trusts,
  )
}

/**
 * Neither query nor fields are ever in it: they carry secrets. What the client wrote is printable
 * ASCII by the time it gets here, whatever writes the log.
 *
 * It is put together as text: an object that the logger would look through for secrets and then
 * serialise costs as much as half of the request itself.
 */
class JsonAccessLog implements AccessLog {
  readonly #write: (text: string) => void
  readonly #trusts: (address: string) => boolean

  constructor(write: (text: string) => void, trusts: (address: string) => boolean) {
    this.#write = write
    this.#trusts = trusts
  }

  request(
    exchange: Exchange,
    outcome: Outcome,
    milliseconds: number,
    user: string | undefined,
  ): void {
    const { head } = exchange
    const error = exchange.fault ?? outcome.error
    const host = withoutLogin(head.authority ?? valuesOf(head.fields, 'host')[0] ?? '')
    let text =
      `${this.#clientText(exchange)},"method":${quoted(head.method)}` +
      `,"host":${quoted(host)},"path":${quoted(pathOf(head.target))}` +
      `,"status":${statusOf(outcome)},"bytes":${outcome.bytes}` +
      `,"ms":${Math.round(milliseconds * 10) / 10},"http":${quoted(head.httpVersion)}`
    if (user !== undefined) text += `,"user":${quoted(latin1(user))}`
    if (outcome.backend !== undefined) text += `,"backend":${quoted(outcome.backend)}`
    if (outcome.resumed) text += `,"resumedAnswer":${outcome.resumed}`
    if (error !== undefined)
      text += `,"phase":"${outcome.phase}","error":${JSON.stringify(error)}`
    this.#write(text)
  }

  unreadable({ connection, status, code }: Unreadable): void {
    const error = JSON.stringify(code)
    const text = `"status":${status},"phase":"receive","error":${error}`
    this.#write(`${connectionText(connection)},${text}`)
  }

  plain(request: PlainRequest, status: number, client: string): void {
    const { method = '', url = '', httpVersion, rawHeaders } = request
    const host = withoutLogin(valuesOf(rawHeaders, 'host')[0] ?? '')
    this.#write(
      `"client":${JSON.stringify(client)},"method":${quoted(method)}` +
        `,"host":${quoted(host)},"path":${quoted(pathOf(url))},"status":${status}` +
        `,"http":${quoted(httpVersion)}`,
    )
  }

  /** What a trusted proxy opened is `proxy`, and `client` the one it speaks for. */
  #clientText({ connection, head }: Exchange): string {
    const text = connectionText(connection)
    if (!connection.trusted) return text
    const client = clientOf(connection, head.fields, this.#trusts)
    if (client === connection.clientAddress) return text
    return `"client":${JSON.stringify(client)},"proxy":${text.slice('"client":'.length)}`
  }
}

class CombinedAccessLog implements AccessLog {
  readonly #write: (line: string) => void
  readonly #trusts: (address: string) => boolean

  constructor(write: (line: string) => void, trusts: (address: string) => boolean) {
    this.#write = write
    this.#trusts = trusts
  }

  request(
    { connection, head }: Exchange,
    outcome: Outcome,
    _milliseconds: number,
    user: string | undefined,
  ): void {
    const { method, target, httpVersion, fields } = head
    const line = combinedLine({
      client: clientOf(connection, fields, this.#trusts),
      user: user && latin1(user),
      time: Date.now(),
      method,
      path: pathOf(target),
      httpVersion,
      status: statusOf(outcome),
      bytes: outcome.bytes,
      referer: valuesOf(fields, 'referer')[0],
      agent: valuesOf(fields, 'user-agent')[0],
    })
    this.#write(line)
  }

  plain(request: PlainRequest, status: number, client: string): void {
    const { method = '', url = '', httpVersion, rawHeaders } = request
    const line = combinedLine({
      client,
      user: undefined,
      time: Date.now(),
      method,
      path: pathOf(url),
      httpVersion,
      status,
      bytes: 0,
      referer: valuesOf(rawHeaders, 'referer')[0],
      agent: valuesOf(rawHeaders, 'user-agent')[0],
    })
    this.#write(line)
  }

  unreadable({ connection, status }: Unreadable): void {
    this.#write(combinedUnreadable(connection.clientAddress, Date.now(), status))
  }
}

function tell(log: Log, text: string): void {
  if (log.infoText !== undefined) log.infoText(text, 'request')
  else log.info(JSON.parse(`{${text}}`), 'request')
}

/** 499, as nginx has it: the client went away before there was an answer. */
function statusOf({ status = 499 }: Outcome): number {
  return status
}

function clientOf(
  { clientAddress, trusted }: ClientConnection,
  fields: Fields,
  trusts: (address: string) => boolean,
): string {
  if (!trusted) return clientAddress
  return clientBehind(clientAddress, valuesOf(fields, 'x-forwarded-for').join(), trusts)
}

function connectionText(connection: ClientConnection): string {
  connection.logText ??= fieldsOf(connection)
  return connection.logText
}

function fieldsOf({ clientAddress, tlsVersion, socket }: ClientConnection): string {
  const handshake = handshakeOf(socket)
  const fields = {
    client: clientAddress,
    tls: tlsVersion,
    resumed: handshake === undefined ? undefined : handshake.resumed || 'no',
    cause: handshake?.cause,
  }
  return JSON.stringify(fields).slice(1, -1)
}

/** Without query, and without what an absolute form puts before the path. */
function pathOf(target: string): string {
  const path = target.startsWith('/')
    ? target
    : withoutLogin(target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, ''))
  const end = path.search(/[?#]/)
  return end < 0 ? path : path.slice(0, end)
}

/** What begins with an authority may say a password there, though HTTP knows of none. */
function withoutLogin(text: string): string {
  return text.includes('@') ? text.replace(/^[^/?#]*@/, '') : text
}

/** Its bytes as UTF-8, one character for each, as a field from the wire has them. */
function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}

/** As a JSON string: most are plain, and need no more than quotes. */
function quoted(text: string): string {
  const plain = text.length <= maxLength && /^[\x21\x23-\x5b\x5d-\x7e]*$/.test(text)
  return plain ? `"${text}"` : JSON.stringify(printable(text))
}

function printable(text: string): string {
  const short = text.length > maxLength ? `${text.slice(0, maxLength)}...` : text
  return short.replace(
    /[^\x21-\x7e]/g,
    char => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}
