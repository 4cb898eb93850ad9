import { BoundedMap } from '../bounded-map.ts'

/** Header fields as they came, flat: name, value, name, value. Order and repeats are kept. */
export type Fields = readonly string[]

const none: readonly string[] = []
const maxKnown = 1_000
const maxKnownLength = 64

/** All values of a field, in order. `name` in lower case. */
export function valuesOf(fields: Fields, name: string): readonly string[] {
  let values: string[] | undefined
  for (let i = 0; i < fields.length; i += 2) {
    const candidate = fields[i] as string
    if (candidate.length === name.length && lowerCase(candidate) === name) {
      values ??= []
      values.push(fields[i + 1] as string)
    }
  }
  return values ?? none
}

/** The value of a field that is there once; undefined for none and for more. */
export function onlyValue(fields: Fields, name: string): string | undefined {
  const values = valuesOf(fields, name)
  return values.length === 1 ? values[0] : undefined
}

/** The first value of a field. `name` in lower case. */
export function firstValueOf(fields: Fields, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    const candidate = fields[i] as string
    if (candidate.length === name.length && lowerCase(candidate) === name) {
      return fields[i + 1]
    }
  }
  return undefined
}

/** The members of a comma-separated field, lower case: for tokens, not for quoted strings. */
export function tokensOf(fields: Fields, name: string): readonly string[] {
  const values = valuesOf(fields, name)
  if (values.length === 0) return none
  return values.length === 1 ? tokensIn(values[0] as string) : values.flatMap(tokensIn)
}

/** The name of a field in lower case. The same few come in all requests. */
export const lowerCase: (name: string) => string = perName(name => name.toLowerCase())

/** Of one field: `keep-alive` and the like, which come with nearly all messages. */
const tokensIn: (value: string) => readonly string[] = perName(value =>
  value
    .split(',')
    .map(token => token.trim().toLowerCase())
    .filter(token => token !== ''),
)

/**
 * `judge`, with its answers remembered. Clients make up the names of fields, so what is kept of
 * them has a bound.
 */
export function perName<T>(judge: (name: string) => T): (name: string) => T {
  const known = new BoundedMap<string, T>(maxKnown)
  return name => {
    const before = known.get(name)
    if (before !== undefined || known.has(name)) return before as T
    const answer = judge(name)
    if (name.length <= maxKnownLength) known.set(name, answer)
    return answer
  }
}

/** The fields for which `keep` (given the name in lower case) is true. */
export function filterFields(
  fields: Fields,
  keep: (name: string, value: string) => boolean,
): string[] {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    const value = fields[i + 1] as string
    if (keep(lowerCase(name), value)) kept.push(name, value)
  }
  return kept
}

/**
 * Of these node:http2 writes one line only, and throws at more. What lifts that from Node 24 on
 * (nodejs/node#59917) would leave clients to choose, each in its own way.
 */
const single: ReadonlySet<string> = new Set([
  'access-control-allow-credentials',
  'access-control-max-age',
  'access-control-request-method',
  'age',
  'authorization',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-md5',
  'content-range',
  'content-type',
  'date',
  'dnt',
  'etag',
  'expires',
  'from',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'range',
  'referer',
  'retry-after',
  'tk',
  'upgrade-insecure-requests',
  'user-agent',
  'x-content-type-options',
])

/**
 * Those of them whose lines mean the same as one line with commas (RFC 9110 5.3). The two of the
 * Fetch standard are read like that by browsers, be they lists or not.
 */
const lists: ReadonlySet<string> = new Set([
  'access-control-allow-credentials',
  'content-encoding',
  'content-language',
  'if-match',
  'if-none-match',
  'x-content-type-options',
])

/**
 * As node:http2 wants them: lower-case names, repeats as an array. Where it takes one value
 * only, equal ones become one, lists are joined, and of others the first counts, as with nginx.
 */
export function toHttp2Fields(fields: Fields): Record<string, string | string[]> {
  const object: Record<string, string | string[]> = Object.create(null)
  for (let i = 0; i < fields.length; i += 2) {
    const name = lowerCase(fields[i] as string)
    const value = fields[i + 1] as string
    const before = object[name]
    if (before === undefined) object[name] = value
    else if (Array.isArray(before)) before.push(value)
    else object[name] = [before, value]
  }
  for (const name in object) {
    const values = object[name]
    if (Array.isArray(values) && single.has(name)) object[name] = oneOf(name, values)
  }
  return object
}

function oneOf(name: string, values: readonly string[]): string {
  // Twice the same coding is to be undone twice; twice the same language is one.
  const distinct = name === 'content-encoding' ? values : [...new Set(values)]
  return lists.has(name) ? distinct.join(', ') : (distinct[0] as string)
}
