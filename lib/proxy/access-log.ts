import type { Log } from '../log.ts'
import { handshakeOf } from '../resumption/handshake.ts'
import type { ClientConnection } from './client/client-connection.ts'
import type { Exchange } from './client/exchange.ts'
import type { Unreadable } from './client/http1.ts'
import { valuesOf } from './message/fields.ts'
import type { Outcome } from './relay/forwarding.ts'

/** Longest text of a client that goes into the log. */
const maxLength = 512

/**
 * One line per request. Neither query nor fields are ever in it: they carry secrets. What the
 * client wrote is printable ASCII by the time it gets here, whatever writes the log.
 *
 * It is put together as text: an object that the logger would look through for secrets and then
 * serialise costs as much as half of the request itself.
 */
export function logRequest(
  log: Log,
  exchange: Exchange,
  outcome: Outcome,
  milliseconds: number,
  user: string | undefined,
): void {
  const { connection, head } = exchange
  const error = exchange.fault ?? outcome.error
  const host = withoutLogin(head.authority ?? valuesOf(head.fields, 'host')[0] ?? '')
  let text =
    `${connectionText(connection)},"method":${quoted(head.method)}` +
    `,"host":${quoted(host)},"path":${quoted(pathOf(head.target))}` +
    // 499, as nginx has it: the client went away before there was an answer.
    `,"status":${outcome.status ?? 499},"bytes":${outcome.bytes}` +
    `,"ms":${Math.round(milliseconds * 10) / 10},"http":${quoted(head.httpVersion)}`
  if (user !== undefined) text += `,"user":${quoted(latin1(user))}`
  if (outcome.backend !== undefined) text += `,"backend":${quoted(outcome.backend)}`
  if (outcome.resumed) text += `,"resumedAnswer":${outcome.resumed}`
  if (error !== undefined)
    text += `,"phase":"${outcome.phase}","error":${JSON.stringify(error)}`
  write(log, text)
}

/** A line for bytes that are no request: there is not much to say. */
export function logUnreadable(log: Log, { connection, status, code }: Unreadable): void {
  const error = JSON.stringify(code)
  const text = `"status":${status},"phase":"receive","error":${error}`
  write(log, `${connectionText(connection)},${text}`)
}

function write(log: Log, text: string): void {
  if (log.infoText !== undefined) log.infoText(text, 'request')
  else log.info(JSON.parse(`{${text}}`), 'request')
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
