import { isIP } from 'node:net'
import { isRedisUrl, redisSetup } from '../../../plugins/redis/options.ts'
import type { ListenAddress } from '../../address.ts'
import {
  affinityWords,
  isCookieName,
  isHosts,
  isPlacePrefix,
  readAffinity,
} from '../../dispatch/affinity/options.ts'
import { isUrlName } from '../../dispatch/affinity/url-form.ts'
import { readHashBy } from '../../dispatch/selection/hash-key.ts'
import { farmName } from '../../member/options.ts'
import { isWithin, type NumberRule } from '../../options/number-options.ts'
import { isChallengeUrl } from '../../proxy/acme-challenge.ts'
import { healthPath } from '../../proxy/request/health-probe.ts'
import { isTarget, redirectStatuses } from '../../proxy/route/redirect.ts'
import {
  type ResumptionMode,
  readMode,
  resumptionModes,
} from '../../resumption/session/policy.ts'
import {
  adviceOnAddress,
  adviceOnBackend,
  isWhole,
  readAddress,
  readBackend,
  readBytes,
  readDuration,
  readHost,
  readMember,
  readServerName,
  readSubnet,
  readUrl,
  writeBytes,
  writeDuration,
} from '../quantity.ts'
import { readSecret } from '../secret.ts'

/** What one value of the file must be. */
export interface Kind<T> {
  /** As an operator is told: `expected ..., got ...`. */
  readonly expected: string
  /** The value as the program takes it; undefined for what can't be read. */
  read(value: unknown): T | undefined
  /** What to do about a value that can't be read, where that can be told. */
  advice?(value: unknown): string | undefined
  /**
   * The same as JSON Schema, for editors. It may let pass what `read` does not, and refuses
   * nothing that it takes.
   */
  readonly json: object
}

/** As an operator is told of one value, with what to do about it. */
export function expectedFor(kind: Kind<unknown>, value: unknown): string {
  const advice = kind.advice?.(value)
  return advice === undefined ? kind.expected : `${kind.expected} (${advice})`
}

const integer = { type: 'integer' }
const notEmpty = { type: 'string', minLength: 1 }

export const file: Kind<string> = {
  expected: 'the path of a file',
  read: value => (isText(value) ? value : undefined),
  json: notEmpty,
}

export const folder: Kind<string> = { ...file, expected: 'the path of a folder' }

export const text: Kind<string> = {
  expected: 'a text',
  read: value => (isText(value) ? value : undefined),
  json: notEmpty,
}

export const name: Kind<string> = {
  expected: 'a name',
  read: value => (typeof value === 'string' && value !== '' ? value : undefined),
  json: notEmpty,
}

export const id: Kind<string> = {
  expected: '32 bytes in hex',
  read: value =>
    typeof value === 'string' && /^[0-9a-f]{64}$/i.test(value) ? value : undefined,
  json: { type: 'string', pattern: '^[0-9a-fA-F]{64}$' },
}

export const logPlace: Kind<string> = {
  ...text,
  expected: 'off, stdout, stderr or the path of a file',
}

export const challengePlace: Kind<string> = {
  expected: 'a folder or http://HOST[:PORT]',
  read: value =>
    isText(value) && !(isChallengeUrl(value) && readBackend(value) === undefined)
      ? value
      : undefined,
  json: notEmpty,
}

export const port: Kind<number> = {
  expected: 'a port from 1 to 65535',
  read: value => (isWhole(value) && value >= 1 && value <= 65_535 ? value : undefined),
  json: { ...wholeNumber, minimum: 1, maximum: 65_535 },
}

export const path: Kind<string> = {
  expected: 'a path such as /.well-known/health, without query',
  read: value => (isText(value) && healthPath.test(value) ? value : undefined),
  json: { type: 'string', pattern: '^/[^?#]*$' },
}

export const yesNo: Kind<boolean> = {
  expected: 'true or false',
  read: value => (typeof value === 'boolean' ? value : undefined),
  json: { type: 'boolean' },
}

export const count: Kind<number> = {
  expected: 'a whole number from 1',
  read: value => (isWhole(value) && value > 0 ? value : undefined),
  json: { ...integer, minimum: 1 },
}

/** Also as text, from a flag. */
export function wholeNumber(least: number, most: number): Kind<number> {
  return {
    expected: `a whole number from ${least} to ${most}`,
    read(value) {
      const number = typeof value === 'string' && value !== '' ? Number(value) : value
      return isWhole(number) && number >= least && number <= most ? number : undefined
    },
    json: { ...integer, minimum: least, maximum: most },
  }
}

export const duration: Kind<number> = {
  expected: 'milliseconds or a time such as 500ms, 30s, 1h',
  read: readDuration,
  json: withUnit('ms|s|m|h|d', {}),
}

export const address: Kind<ListenAddress> = {
  expected: '[HOST:]PORT',
  read: readAddress,
  advice: adviceOnAddress,
  json: {
    anyOf: [
      { ...integer, minimum: 0, maximum: 65_535 },
      { type: 'string', pattern: '^(.+:)?\\d{1,5}$' },
    ],
  },
}

export const host: Kind<string> = {
  expected: 'a host name or an IP address',
  read: readHost,
  json: { type: 'string', pattern: '^[A-Za-z0-9._:-]{1,253}$' },
}

export const ipv4: Kind<string> = {
  expected: 'an IPv4 address',
  read: value => (typeof value === 'string' && isIP(value) === 4 ? value : undefined),
  json: { type: 'string', pattern: '^\\d{1,3}(\\.\\d{1,3}){3}$' },
}

export const hostName: Kind<string> = { ...host, expected: 'a host name' }

export const member: Kind<string> = {
  expected: 'HOST[:PORT]',
  read: readMember,
  advice: adviceOnAddress,
  json: notEmpty,
}

export const repository: Kind<string> = {
  expected: 'HOST[:PORT] of handfast repository, or redis://HOST',
  read: value => (isRedisUrl(String(value)) ? readRedisUrl(value) : readMember(value)),
  advice: adviceOnAddress,
  json: notEmpty,
}

function readRedisUrl(value: unknown): string | undefined {
  try {
    // The password may come from elsewhere.
    redisSetup({ url: String(value), password: '-' })
    return String(value)
  } catch {
    return undefined
  }
}

export const serverName: Kind<string> = {
  expected: 'a host name, or *. and a host name',
  read: readServerName,
  json: { type: 'string', pattern: '^(\\*\\.)?[A-Za-z0-9_.-]{1,253}$' },
}

/** What a certificate may be good for. */
export const certifiedName: Kind<string> = {
  expected: 'a host name or an IP address',
  read: value => (isIP(String(value)) === 0 ? readServerName(value) : String(value)),
  json: notEmpty,
}

export const subnet: Kind<string> = {
  expected: 'an IP address or a subnet such as 10.0.0.0/8',
  read: readSubnet,
  json: { type: 'string', pattern: '^[0-9a-fA-F.:]+(/\\d{1,3})?$' },
}

export const backend: Kind<string> = {
  expected: 'http://HOST[:PORT] or https://HOST[:PORT]',
  read: readBackend,
  advice: adviceOnBackend,
  json: { type: 'string', pattern: '^[Hh][Tt][Tt][Pp][Ss]?:' },
}

export const affinityBy: Kind<string> = {
  expected: affinityWords,
  read: value => (isText(value) && readAffinity(value) !== undefined ? value : undefined),
  json: { type: 'string', pattern: '^(cookie|tls-session|none|path|host|header .+)$' },
}

export const placePrefix: Kind<string> = {
  expected: '/ and then letters, digits, ~, _ or -',
  read: value => (isText(value) && isPlacePrefix(value) ? value : undefined),
  json: { type: 'string', pattern: '^/[A-Za-z0-9~_-]{1,32}$' },
}

export const placeHosts: Kind<string> = {
  expected: '*. and a host name',
  read: value => (isText(value) && isHosts(value) ? value : undefined),
  json: { type: 'string', pattern: '^\\*\\.[A-Za-z0-9.-]{1,251}$' },
}

export const urlName: Kind<string> = {
  expected: 'lower-case letters, digits and dashes, at most 63',
  read: value => (isText(value) && isUrlName(value) ? value : undefined),
  json: { type: 'string', pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' },
}

export const cookieName: Kind<string> = {
  expected: 'a name that begins with __Host-',
  read: value => (isText(value) && isCookieName(value) ? value : undefined),
  json: { type: 'string', pattern: '^__Host-[A-Za-z0-9_-]{1,64}$' },
}

export const redirectTarget: Kind<string> = {
  expected: 'an http or https URL or a path',
  read: value => (isText(value) && isTarget(value) ? value : undefined),
  json: { type: 'string', pattern: '^(https?://|/)' },
}

export const redirectStatus: Kind<number> = {
  expected: redirectStatuses.join(', '),
  read: value => redirectStatuses.find(status => status === value),
  json: { enum: [...redirectStatuses] },
}

export const hashBy: Kind<string> = {
  expected: 'address, header NAME or cookie NAME',
  read: value => (isText(value) && readHashBy(value) !== undefined ? value : undefined),
  json: { type: 'string', pattern: '^(address|(header|cookie) .+)$' },
}

export const url: Kind<string> = {
  expected: 'an http or https URL',
  read: readUrl,
  json: { type: 'string', pattern: '^[Hh][Tt][Tt][Pp][Ss]?:' },
}

export const secret: Kind<string> = {
  expected: '32 bytes as base64url, base64 or hex (handfast secret)',
  read: readSecret,
  json: { type: 'string', minLength: 43 },
}

export const nameOfFarm: Kind<string> = {
  expected: '1 to 64 letters, digits, dots, dashes',
  read: value => (typeof value === 'string' && farmName.test(value) ? value : undefined),
  json: { type: 'string', pattern: farmName.source },
}

export function oneOf<const Word extends string>(words: readonly Word[]): Kind<Word> {
  return {
    expected: words.join(', ').replace(/, ([^,]*)$/, ' or $1'),
    read: value => words.find(word => word === value),
    json: { enum: words },
  }
}

export const resumption: Kind<ResumptionMode> = {
  ...oneOf(resumptionModes),
  read: readMode,
  json: { enum: [...resumptionModes, 'stateless'] },
}

/** A number with its unit, within its range. */
export function quantity(rule: NumberRule): Kind<number> {
  const { what, read, suffix } = units[rule.unit]
  const separator = what.includes(',') ? ',' : ''
  const bounds = {
    minimum: rule.least,
    ...(rule.most === Number.POSITIVE_INFINITY ? {} : { maximum: rule.most }),
  }
  return {
    expected: `${what}${separator} ${rangeOf(rule)}`,
    read(value) {
      const number = read(value)
      return isWithin(rule, number) ? number : undefined
    },
    json: suffix === undefined ? { ...integer, ...bounds } : withUnit(suffix, bounds),
  }
}

const units = {
  ms: { what: duration.expected, read: readDuration, suffix: 'ms|s|m|h|d' },
  bytes: {
    what: 'bytes or a size such as 16KiB, 256MiB',
    read: readBytes,
    suffix: 'B|KiB|MiB|GiB',
  },
  count: { what: 'a whole number', read: whole, suffix: undefined },
  percent: { what: 'a percentage', read: whole, suffix: undefined },
} as const

/** As `rangeText` says it, in the unit that a file would have. */
function rangeOf({ unit, least, most }: NumberRule): string {
  const write = unit === 'ms' ? writeDuration : unit === 'bytes' ? writeBytes : String
  const to = most === Number.POSITIVE_INFINITY ? '' : ` to ${write(most)}`
  return `from ${write(least)}${to}`
}

function withUnit(suffix: string, bounds: object): object {
  return {
    anyOf: [
      { ...integer, minimum: 0, ...bounds },
      { type: 'string', pattern: `^\\d+(\\.\\d+)?\\s?(${suffix})$` },
    ],
  }
}

function whole(value: unknown): number | undefined {
  return isWhole(value) ? value : undefined
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && !/[\r\n]/.test(value)
}
