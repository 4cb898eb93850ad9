import { isIP } from 'node:net'
import { HandfastError } from './errors.ts'
import { shown } from './shown.ts'

/** Farm port of members that say none. */
export const defaultFarmPort = 7443

/** `host` is a name or an IP address without brackets. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Where to listen. Without a host: every address of the machine. */
export interface ListenAddress {
  readonly host?: string | undefined
  readonly port: number
}

/** Reads `host:port`, `1.2.3.4:port` or `[::1]:port`; `defaultPort` serves where none is given. */
export function parseAddress(text: string, defaultPort?: number): Address {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text.trim())
  // A bare IPv6 address has colons of its own, so it can only come without a port.
  const host = match?.[1] ?? match?.[2] ?? (isIP(text.trim()) === 6 ? text.trim() : '')
  const port = match?.[3] === undefined ? defaultPort : Number(match[3])
  const bracketed = match?.[1] !== undefined
  if (host === '' || !hostPattern.test(host) || (bracketed && isIP(host) !== 6)) {
    throw wrong(text, 'not a host')
  }
  if (port === undefined) throw wrong(text, 'no port')
  if (port < 1 || port > 65_535) throw wrong(text, `port ${port}`)
  return { host: plainHost(host), port }
}

export function formatAddress({ host, port }: Address): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}

/** `::ffff:10.0.0.1`, as a dual-stack socket calls its peer, is 10.0.0.1. */
export function plainHost(host: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host)
  return mapped?.[1] ?? host.toLowerCase()
}

const hostPattern = /^[\w.:%-]{1,253}$/

function wrong(text: string, why: string): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `a member address must be host:port, got ${shown(text)} (${why})`,
  )
}
