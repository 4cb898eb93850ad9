import { onlyValue, valuesOf } from '../../http/fields.ts'

/**
 * The bytes that a response promised, as far as another response can be held to the promise. All
 * positions are those of the selected representation as a whole, from 0, in its content coding
 * (RFC 9110 14.1.2), whichever part of it the client asked for.
 */
export interface Representation {
  /** What goes into If-Range: a strong entity tag, or a date that is as good as one. */
  readonly validator: string
  readonly validatedBy: 'etag' | 'last-modified'
  /** Content-Encoding in lower case, empty for none. */
  readonly coding: string
  readonly type: string | undefined
  /** Of the part that was promised. */
  readonly first: number
  /** Of the part that was promised; undefined where its end is not known yet. */
  readonly last: number | undefined
  /** Of the whole; undefined where it was not said. */
  readonly total: number | undefined
}

/** `first` to `last`, of `total` bytes. */
export interface ContentRange {
  readonly first: number
  readonly last: number
  readonly total: number | undefined
}

/**
 * What a final response to GET promises. Undefined where nothing can be held to it: there is no
 * strong validator, its length is doubtful, fields are said twice, or it is not one range.
 */
export function representationOf(
  status: number,
  fields: readonly string[],
): Representation | undefined {
  if (status !== 200 && status !== 206) return undefined
  // Trailers are about the message that they end, and nobody else can say them.
  if (valuesOf(fields, 'trailer').length > 0) return undefined
  const validated = validatorOf(fields)
  const length = lengthOf(fields)
  if (validated === undefined || length === 'doubtful') return undefined
  const said = { ...validated, coding: codingOf(fields), type: typeOf(fields) }
  if (status === 200) {
    const last = length === undefined ? undefined : length - 1
    return { ...said, first: 0, last, total: length }
  }
  const range = contentRangeOf(fields)
  if (range === undefined) return undefined
  if (length !== undefined && length !== range.last - range.first + 1) return undefined
  return { ...said, ...range }
}

/**
 * Both validators of RFC 9110 8.8. An entity tag decides alone when there is one (13.1.5), so a
 * weak one rules the date out too. The date is strong when the response was made a minute after
 * it: the object can't have changed twice in that second (8.8.2.2), nor have its clock been far
 * from the one that dates responses.
 */
function validatorOf(
  fields: readonly string[],
): Pick<Representation, 'validator' | 'validatedBy'> | undefined {
  if (valuesOf(fields, 'etag').length > 0) {
    const tag = onlyValue(fields, 'etag')
    if (tag === undefined || !strongTag.test(tag)) return undefined
    return { validator: tag, validatedBy: 'etag' }
  }
  const modified = onlyValue(fields, 'last-modified')
  const made = onlyValue(fields, 'date')
  if (modified === undefined || made === undefined) return undefined
  const age = dateOf(made) - dateOf(modified)
  if (!(age >= strongAfter)) return undefined
  return { validator: modified, validatedBy: 'last-modified' }
}

const strongTag = /^"[\x21\x23-\x7e\x80-\xff]*"$/
const strongAfter = 60_000

/** Milliseconds, or NaN: only the form that servers have to send (IMF-fixdate). */
function dateOf(text: string): number {
  return fixedDate.test(text) ? Date.parse(text) : Number.NaN
}

const fixedDate = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/

/** Of the body; undefined where only its end tells. */
export function lengthOf(fields: readonly string[]): number | 'doubtful' | undefined {
  const codings = valuesOf(fields, 'transfer-encoding')
  if (codings.length > 1) return 'doubtful'
  const [coding] = codings
  // RFC 9112 6.3: a length beside chunks says nothing.
  if (coding !== undefined) {
    return coding.toLowerCase() === 'chunked' ? undefined : 'doubtful'
  }
  const lengths = valuesOf(fields, 'content-length')
  if (lengths.length === 0) return undefined
  const length = onlyValue(fields, 'content-length')
  return length !== undefined && number.test(length) ? Number(length) : 'doubtful'
}

/** Undefined where it is not said, said twice, or makes no sense. */
export function contentRangeOf(fields: readonly string[]): ContentRange | undefined {
  const text = onlyValue(fields, 'content-range')
  const match = text === undefined ? null : range.exec(text)
  if (match === null) return undefined
  const [first, last] = [Number(match[1]), Number(match[2])]
  const total = match[3] === '*' ? undefined : Number(match[3])
  if (last < first || (total !== undefined && last >= total)) return undefined
  return { first, last, total }
}

/** Fifteen digits are the most that a number of JavaScript surely holds. */
const number = /^\d{1,15}$/
const range = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i

export function codingOf(fields: readonly string[]): string {
  return valuesOf(fields, 'content-encoding').join(',').toLowerCase()
}

export function typeOf(fields: readonly string[]): string | undefined {
  const types = valuesOf(fields, 'content-type')
  return types.length === 0 ? undefined : types.join(',').toLowerCase()
}
