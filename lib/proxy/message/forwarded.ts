import { isIP, isIPv6 } from 'node:net'
import { type Fields, lowerCase, valuesOf } from '../../http/fields.ts'

/** What the connection itself tells of a client: the part nobody can make up. */
export interface Hop {
  readonly clientAddress: string
  /** The same as RFC 7239 has it. */
  readonly forwardedNode: string
  readonly localPort: number
  /** From a proxy whose word counts: what it said is passed on and added to. */
  readonly trusted: boolean
}

/** `Forwarded` (RFC 7239) and its older kin, for the request to the backend. */
export function forwardedFields(incoming: Fields, hop: Hop, authority: string): string[] {
  const host = authority === '' ? '' : `host=${quote(authority)};`
  const own = [
    'Forwarded',
    `for=${hop.forwardedNode};${host}proto=https`,
    'X-Forwarded-For',
    hop.clientAddress,
    'X-Forwarded-Proto',
    'https',
    'X-Forwarded-Host',
    authority,
    'X-Forwarded-Port',
    String(hop.localPort),
  ]
  return hop.trusted ? behind(incoming, own) : own
}

/** What a trusted proxy has said of the way before it, with our own word where that goes on. */
function behind(incoming: Fields, own: readonly string[]): string[] {
  return own.map((text, i) => {
    if (i % 2 === 0) return text
    const name = lowerCase(own[i - 1] as string)
    const before = valuesOf(incoming, name)
    const isList = name === 'forwarded' || name === 'x-forwarded-for'
    return isList ? [...before, text].join(', ') : (before[0] ?? text)
  })
}

/** An IPv4 client of a dual-stack socket is an IPv4 client. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
}

/**
 * The client behind proxies whose word counts: each of them put the address that it saw at the
 * end of X-Forwarded-For, so the last one that is no such proxy is the client.
 */
export function clientBehind(
  address: string,
  forwardedFor: string,
  trusts: (address: string) => boolean,
): string {
  const list = forwardedFor.split(',').map(entry => plainAddress(entry.trim()))
  let client = plainAddress(address)
  while (trusts(client)) {
    const before = list.pop()
    if (before === undefined || isIP(before) === 0) return client
    client = before
  }
  return client
}

/** RFC 7239 6: an IPv6 address stands in brackets, hence in quotes. */
export function forwardedNode(address: string): string {
  return isIPv6(address) ? `"[${address}]"` : address
}

function quote(value: string): string {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value) ? value : `"${value}"`
}
