import { fullRecord, recordOverhead } from '../record-layer/layout.ts'

/**
 * A response of which every byte on the wire follows from its position, so that any process that
 * knows this, and has the object, goes on with it from any of its bytes. All numbers are exact
 * integers, and may be far beyond 2^32.
 *
 * Positions count the bytes that were given to the transport since it was accepted. Without TLS
 * the wire has the head and then the body. With TLS the head is one record, and the body follows
 * in records that are full, but for the last:
 *
 *     at                  at + head + 22                              endOf(response)
 *     | record n: head    | n + 1: 16 384 bytes | n + 2: 16 384 bytes | n + 3: the rest |
 */
export interface PlannedResponse {
  /** Of the first byte of the head on the wire. */
  readonly at: number
  /**
   * Status line and fields with the empty line, as they were sent. Never made anew: of what is
   * sealed under one number there may be one text only. With TLS at most 16 384 bytes.
   */
  readonly head: Buffer
  /** The part of the representation that the body is: its first byte, and how many. */
  readonly first: number
  readonly length: number
  /** The connection serves further requests after it. */
  readonly keepAlive: boolean
  /** Number of the record that carries the head; undefined without TLS. */
  readonly record: number | undefined
}

/**
 * What is left of a response when so many bytes were given to the transport:
 *
 * - `before`: it has not begun, and what comes before it is not known here.
 * - `rest`: `head`, which may be empty, then `length` bytes of the representation beginning with
 *   byte `from`. With TLS these are sealed as records from number `record` on, of which the
 *   first `skip` bytes on the wire have gone out already.
 * - `end`: nothing; the next byte is no longer of this response.
 * - `beyond`: something was sent after it.
 */
export type Remainder =
  | {
      readonly kind: 'rest'
      readonly head: Buffer
      readonly from: number
      readonly length: number
      readonly record: number | undefined
      readonly skip: number
    }
  | { readonly kind: 'before' | 'end' | 'beyond' }

/** Position of the first byte after it. */
export function endOf({ at, head, length, record }: PlannedResponse): number {
  if (record === undefined) return at + head.length + length
  return at + head.length + length + recordsFor(length) * recordOverhead
}

/** Number of the first record after it; undefined without TLS. */
export function recordAfter({ record, length }: PlannedResponse): number | undefined {
  return record === undefined ? undefined : record + recordsFor(length)
}

/** Records of a response with a body of so many bytes, that of its head included. */
export function recordsFor(length: number): number {
  return 1 + quotient(length + fullRecord - 1, fullRecord)
}

export function remainderAt(response: PlannedResponse, position: number): Remainder {
  if (position < response.at) return { kind: 'before' }
  const end = endOf(response)
  if (position >= end) return { kind: position === end ? 'end' : 'beyond' }
  return response.record === undefined
    ? plainRemainder(response, position - response.at)
    : sealedRemainder(response, response.record, position - response.at)
}

function plainRemainder(
  { head, first, length }: PlannedResponse,
  offset: number,
): Remainder {
  const passed = Math.max(0, offset - head.length)
  return {
    kind: 'rest',
    head: head.subarray(offset),
    from: first + passed,
    length: length - passed,
    record: undefined,
    skip: 0,
  }
}

function sealedRemainder(
  { head, first, length }: PlannedResponse,
  record: number,
  offset: number,
): Remainder {
  const inBody = offset - head.length - recordOverhead
  if (inBody < 0) {
    return { kind: 'rest', head, from: first, length, record, skip: offset }
  }
  const records = quotient(inBody, fullRecord + recordOverhead)
  return {
    kind: 'rest',
    head: head.subarray(head.length),
    from: first + records * fullRecord,
    length: length - records * fullRecord,
    record: record + 1 + records,
    skip: inBody - records * (fullRecord + recordOverhead),
  }
}

/** Exact where a rounded quotient of large numbers is not. */
function quotient(number: number, divisor: number): number {
  return (number - (number % divisor)) / divisor
}
