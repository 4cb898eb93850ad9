import type { Log } from '../log.ts'
import { handshakeOf } from '../resumption/handshake.ts'
import type { ClientConnection } from './client/client-connection.ts'
import type { Exchange } from './client/exchange.ts'
import type { Unreadable } from './client/http1.ts'
import type { Outcome } from './relay/forwarding.ts'

/** Longest text of a client that goes into the log. */
const maxLength = 512

/**
 * One line per request. Neither query nor fields are ever in it: they carry secrets. What the
 * client wrote is printable ASCII by the time it gets here, whatever writes the log.
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
  log.info(
    {
      ...connectionFields(connection),
      method: printable(head.method),
      host: printable(hostOf(exchange)),
      path: printable(pathOf(head.target)),
      // 499, as nginx has it: the client went away before there was an answer.
      status: outcome.status ?? 499,
      bytes: outcome.bytes,
      ms: Math.round(milliseconds * 10) / 10,
      http: head.httpVersion,
      user: user === undefined ? undefined : printable(latin1(user)),
      backend: outcome.backend,
      phase: error === undefined ? undefined : outcome.phase,
      error,
    },
    'request',
  )
}

/** A line for bytes that are no request: there is not much to say. */
export function logUnreadable(log: Log, { connection, status, code }: Unreadable): void {
  log.info(
    { ...connectionFields(connection), status, phase: 'receive', error: code },
    'request',
  )
}

function connectionFields(connection: ClientConnection): object {
  const handshake = handshakeOf(connection.socket)
  return {
    client: connection.clientAddress,
    tls: connection.tlsVersion,
    resumed: handshake === undefined ? undefined : handshake.resumed || 'no',
    cause: handshake?.cause,
  }
}

/** Without query, and without what an absolute form puts before the path. */
function pathOf(target: string): string {
  return target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, '')
}

function hostOf(exchange: Exchange): string {
  const { head } = exchange
  if (head.authority !== undefined) return head.authority
  const at = head.fields.findIndex(
    (part, i) => i % 2 === 0 && part.toLowerCase() === 'host',
  )
  return at < 0 ? '' : (head.fields[at + 1] as string)
}

/** Its bytes as UTF-8, one character for each, as a field from the wire has them. */
function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}

function printable(text: string): string {
  const short = text.length > maxLength ? `${text.slice(0, maxLength)}...` : text
  return short.replace(
    /[^\x21-\x7e]/g,
    char => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}
