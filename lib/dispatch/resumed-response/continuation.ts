import { onlyValue, valuesOf } from '../../http/fields.ts'
import {
  codingOf,
  contentRangeOf,
  lengthOf,
  type Representation,
  typeOf,
} from './representation.ts'

/**
 * What another response has to do with the one that broke off:
 *
 * - `continues`: behind the first `skip` of its bytes come those that are missing. `last` and
 *   `total` as far as they are known now.
 * - `unavailable`: it says nothing of the object; the next may.
 * - any other: it is, or may be, about another object, or another form of it. Why not.
 */
export type Verdict =
  | {
      readonly kind: 'continues'
      readonly skip: number
      readonly last: number | undefined
      readonly total: number | undefined
    }
  | { readonly kind: 'unavailable' | Refusal }

/**
 * - `changed`: its validator is another one, or it is not there any more.
 * - `no-range`: not the part that was asked for, or not said clearly.
 * - `other-form`: another coding or media type.
 */
export type Refusal = 'changed' | 'no-range' | 'other-form'

/**
 * The first byte to ask for when the next one to be passed on is `position`. Where the end is
 * not known that is one byte earlier: had the object ended just there, a range behind it could
 * not be told from a range of another object.
 */
export function resumeAt(representation: Representation, position: number): number {
  const { first, last } = representation
  return last === undefined && position > first ? position - 1 : position
}

/** The fields of the request for the rest, made of those of the first request. */
export function resumingFields(
  fields: readonly string[],
  representation: Representation,
  position: number,
): string[] {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    if (conditions.has(name.toLowerCase())) continue
    kept.push(name, fields[i + 1] as string)
  }
  const { last = '', validator } = representation
  const range = `bytes=${resumeAt(representation, position)}-${last}`
  kept.push('Range', range, 'If-Range', validator)
  return kept
}

/** The client's, which the first response has met: ours is the one that counts now. */
const conditions: ReadonlySet<string> = new Set([
  'range',
  'if-range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
])

/**
 * Whether a response to `resumingFields` goes on where the first one ended. It has to say the
 * same validator again: If-Range is an obligation of the server's, this is our own check.
 */
export function judge(
  representation: Representation,
  position: number,
  status: number,
  fields: readonly string[],
): Verdict {
  if (status >= 500 || status === 408 || status === 425 || status === 429) {
    return { kind: 'unavailable' }
  }
  if (status !== 200 && status !== 206) {
    // 416 is no answer to a byte that is there.
    return { kind: 'changed' }
  }
  if (!hasValidator(representation, fields)) return { kind: 'changed' }
  if (codingOf(fields) !== representation.coding) return { kind: 'other-form' }
  // RFC 9110 15.3.7: the type may be left out of an answer to If-Range.
  const type = typeOf(fields)
  if (status === 206 && isMultipart(type)) return { kind: 'no-range' }
  if (type !== undefined && type !== representation.type) return { kind: 'other-form' }
  return status === 206
    ? judgePart(representation, position, fields)
    : judgeWhole(representation, position, fields)
}

function hasValidator(
  { validatedBy, validator }: Representation,
  fields: readonly string[],
): boolean {
  if (validatedBy === 'etag') return onlyValue(fields, 'etag') === validator
  // An entity tag that was not there before tells of another server, and maybe another object.
  if (valuesOf(fields, 'etag').length > 0) return false
  return onlyValue(fields, 'last-modified') === validator
}

function isMultipart(type: string | undefined): boolean {
  return type?.startsWith('multipart/byteranges') === true
}

function judgePart(
  representation: Representation,
  position: number,
  fields: readonly string[],
): Verdict {
  const range = contentRangeOf(fields)
  const length = lengthOf(fields)
  const from = resumeAt(representation, position)
  if (range === undefined || range.first !== from) return { kind: 'no-range' }
  if (length !== undefined && length !== range.last - range.first + 1) {
    return { kind: 'no-range' }
  }
  const { total = range.total, last = lastOf(total) } = representation
  if (total !== range.total) return { kind: 'changed' }
  // With an end that nobody knows there is no telling whether all has come.
  if (last === undefined || range.last !== last) return { kind: 'no-range' }
  return { kind: 'continues', skip: position - from, last, total }
}

/** All of it again: bytes with one strong validator are the same bytes (RFC 9110 8.8.1). */
function judgeWhole(
  representation: Representation,
  position: number,
  fields: readonly string[],
): Verdict {
  const { last, total } = representation
  // The client wants a part that does not reach to the end.
  if (last !== lastOf(total)) return { kind: 'no-range' }
  const length = lengthOf(fields)
  if (length === 'doubtful') return { kind: 'no-range' }
  if (total !== undefined && length !== total) return { kind: 'changed' }
  if (length !== undefined && length < position) return { kind: 'changed' }
  return { kind: 'continues', skip: position, last: lastOf(length), total: length }
}

function lastOf(total: number | undefined): number | undefined {
  return total === undefined ? undefined : total - 1
}
