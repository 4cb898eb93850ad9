import { isIP } from 'node:net'
import { defaultFarmPort, type ListenAddress, parseAddress } from '../address.ts'
import { addressList } from '../address-list.ts'

/**
 * Readers of the values that flags and config files hold. Each answers undefined for what it
 * can't read; the caller says where the value stood and what was expected.
 */

/** `8443`, `127.0.0.1:8443`, `[::1]:8443`, `shop.internal:8443`. */
export function readAddress(value: unknown): ListenAddress | undefined {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):)?(\d{1,5})$/.exec(
    typeof value === 'number' ? String(value) : typeof value === 'string' ? value : '',
  )
  const port = Number(match?.[3])
  if (match === null || port > 65_535) return undefined
  return { host: match[1] ?? match[2], port }
}

/** What to do about an address that can't be read, with or without scheme. */
export function adviceOnAddress(value: unknown): string | undefined {
  const [, host = '', port = ''] =
    /^(?:[a-z]+:\/\/)?(.*?):?(\d*)$/is.exec(String(value)) ?? []
  if (Number(port) > 65_535) return 'a port is at most 65535'
  const isBare = isIP(host) === 6 || isIP(`${host}:${port}`) === 6
  return isBare ? 'an IPv6 address stands in brackets: [::1]:8443' : undefined
}

/** `HOST[:PORT]` of another member's farm port; the farm itself knows the usual port. */
export function readMember(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  try {
    parseAddress(value, defaultFarmPort)
    return value.trim()
  } catch {
    return undefined
  }
}

/** An IP address, or a subnet such as `10.0.0.0/8`. */
export function readSubnet(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  try {
    addressList([value], 'a list')
    return value
  } catch {
    return undefined
  }
}

/** A host name or an IP address, IPv6 without brackets. */
export function readHost(value: unknown): string | undefined {
  return typeof value === 'string' && /^[A-Za-z0-9._:-]{1,253}$/.test(value)
    ? value
    : undefined
}

const millisecondsPer = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** What setTimeout can wait for. */
const longestDuration = 2 ** 31 - 1

/** Milliseconds as a number, or a number with a unit: `500ms`, `30s`, `5m`, `1h`, `1d`. */
export function readDuration(value: unknown): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(
    typeof value === 'string' ? value : '',
  )
  const ms =
    match === null
      ? value
      : Number(match[1]) * millisecondsPer[match[2] as keyof typeof millisecondsPer]
  return isWhole(ms) && ms <= longestDuration ? ms : undefined
}

const bytesPer = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** Bytes as a number, or a number with a unit: `16KiB`, `256MiB`, `4GiB`. */
export function readBytes(value: unknown): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s?(B|KiB|MiB|GiB)$/.exec(
    typeof value === 'string' ? value : '',
  )
  const bytes =
    match === null
      ? value
      : Number(match[1]) * bytesPer[match[2] as keyof typeof bytesPer]
  return isWhole(bytes) ? bytes : undefined
}

/** `http://host:port` or `https://host:port`, nothing behind it. */
export function readBackend(value: unknown): string | undefined {
  if (typeof value !== 'string' || !URL.canParse(value)) return undefined
  const url = new URL(value)
  const plain =
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.pathname === '/' &&
    url.search + url.hash + url.username + url.password === ''
  return plain ? url.origin : undefined
}

/** What to do about a backend that can't be read. */
export function adviceOnBackend(value: unknown): string | undefined {
  if (typeof value !== 'string' || !URL.canParse(value)) return adviceOnAddress(value)
  const { protocol, pathname } = new URL(value)
  return /^https?:$/.test(protocol) && pathname !== '/'
    ? 'a path goes into addPath of the site or route, in the config file'
    : undefined
}

/** An http or https URL without credentials, which would end up in a log. */
export function readUrl(value: unknown): string | undefined {
  if (typeof value !== 'string' || !URL.canParse(value)) return undefined
  const { protocol, username, password } = new URL(value)
  const web = protocol === 'http:' || protocol === 'https:'
  return web && username + password === '' ? value : undefined
}

/** A DNS name in lower case, `*.` in front allowed. */
export function readServerName(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > 253) return undefined
  const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?'
  const name = value.toLowerCase()
  return new RegExp(`^(?:\\*\\.)?${label}(?:\\.${label})*$`).test(name) ? name : undefined
}

export function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** As `readDuration` reads it, in the largest unit that divides it. */
export function writeDuration(ms: number): string | number {
  return ms === 0 ? 0 : inUnit(ms, millisecondsPer)
}

/** As `readBytes` reads it. */
export function writeBytes(bytes: number): string | number {
  return bytes === 0 ? 0 : inUnit(bytes, bytesPer)
}

function inUnit(value: number, per: { readonly [unit: string]: number }): string {
  const [unit, size = 1] =
    Object.entries(per).findLast(([, size]) => value >= size && value % size === 0) ??
    Object.entries(per)[0] ??
    []
  return `${value / size}${unit}`
}
