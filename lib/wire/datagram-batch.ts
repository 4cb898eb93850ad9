import { HandfastError } from '../errors.ts'
import {
  type CacheRecord,
  encodeRecord,
  maxValueLength,
  recordHeaderLength,
} from '../record/record.ts'

/**
 * The bodies of the data sequence space.
 *
 * DATA: records (record.ts), one after the other, to the end of the body.
 *
 * FRAGMENT: a part of one record that does not fit a datagram. The parts have consecutive
 * sequence numbers, so `sequence - index` names the record they belong to.
 *
 *      0         2         4
 *      +---------+---------+------------------------+
 *      | index   | count   | bytes of the record    |
 *      | u16     | u16 >=2 |                        |
 *      +---------+---------+------------------------+
 */
export const fragmentHeaderLength = 4

export interface Fragment {
  readonly index: number
  readonly count: number
  readonly bytes: Buffer
}

/** Cuts a record into the bodies of FRAGMENT datagrams of at most `room` bytes each. */
export function fragmentRecord(record: CacheRecord, room: number): Buffer[] {
  const whole = encodeRecord(record)
  const share = room - fragmentHeaderLength
  const count = Math.ceil(whole.length / share)
  return Array.from({ length: count }, (_, index) => {
    const part = whole.subarray(index * share, (index + 1) * share)
    const body = Buffer.allocUnsafe(fragmentHeaderLength + part.length)
    body.writeUInt16BE(index, 0)
    body.writeUInt16BE(count, 2)
    part.copy(body, fragmentHeaderLength)
    return body
  })
}

export function readFragment(body: Buffer): Fragment {
  if (body.length <= fragmentHeaderLength) throw malformed('fragment cut short')
  const index = body.readUInt16BE(0)
  const count = body.readUInt16BE(2)
  if (count < 2 || index >= count || count > maxFragments)
    throw malformed(`fragment ${index} of ${count}`)
  return { index, count, bytes: body.subarray(fragmentHeaderLength) }
}

/** The largest record in the smallest datagrams that are allowed (576 bytes). */
export const maxFragments: number = Math.ceil(
  (recordHeaderLength + 255 + maxValueLength) / (576 - 48 - fragmentHeaderLength),
)

function malformed(what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_PROTOCOL', `malformed datagram: ${what}`)
}
