import { HandfastError } from '../errors.ts'
import { type TableId, tableId } from '../record/key.ts'
import {
  type CacheRecord,
  maxValueLength,
  readRecord,
  recordHeaderLength,
  recordLength,
  writeRecord,
} from '../record/record.ts'

/**
 * The bodies of the data sequence space.
 *
 * DATA: items, one after the other, to the end of the body. A record begins with its table,
 * which is never 0; a 0 announces an order instead.
 *
 *      +---------------------+          +------+-----------+-----------------------+
 *      | record (record.ts)  |    or    | 0 u8 | order u8  | table u8, 0 = every   |
 *      +---------------------+          +------+-----------+-----------------------+
 *                                                1 = purge
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
export const orderLength = 3
export const fragmentHeaderLength = 4
const purgeOrder = 1

export interface PurgeOrder {
  /** undefined: every table. */
  readonly purge: TableId | undefined
}

export type BatchItem = CacheRecord | PurgeOrder

export interface Fragment {
  readonly index: number
  readonly count: number
  readonly bytes: Buffer
}

export function isPurge(item: BatchItem): item is PurgeOrder {
  return 'purge' in item
}

export function itemLength(item: BatchItem): number {
  return isPurge(item) ? orderLength : recordLength(item)
}

export function writeItem(item: BatchItem, target: Buffer, offset: number): number {
  if (!isPurge(item)) return writeRecord(item, target, offset)
  target[offset] = 0
  target[offset + 1] = purgeOrder
  target[offset + 2] = item.purge ?? 0
  return offset + orderLength
}

/**
 * Reads the item at `offset`; views of `body`. Throws ERR_HANDFAST_PROTOCOL for bytes that
 * are none. The next item starts `itemLength` further on.
 */
export function readItem(body: Buffer, offset: number): BatchItem {
  if (body[offset] !== 0) return readRecord(body, offset)
  if (body.length - offset < orderLength) throw malformed('order cut short')
  if (body[offset + 1] !== purgeOrder)
    throw malformed(`unknown order ${body[offset + 1]}`)
  const table = body.readUInt8(offset + 2)
  return { purge: table === 0 ? undefined : tableId(table) }
}

/** Cuts a record into the bodies of FRAGMENT datagrams of at most `room` bytes each. */
export function fragmentRecord(record: CacheRecord, room: number): Buffer[] {
  const whole = Buffer.allocUnsafe(recordLength(record))
  writeRecord(record, whole, 0)
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
