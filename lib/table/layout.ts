/**
 * The bytes of the record table. All numbers are little-endian; nothing is aligned, so that no
 * byte is lost between records. Lengths are fixed by test/table/layout.test.ts.
 *
 * A record, in a segment:
 *
 *      0          4          8          12        14     16       20
 *      +----------+----------+----------+---------+------+--------+-----+-------+
 *      | checksum | shape    | ms       | logical | node | life   | key | value |
 *      | u32      | u32      | u32      | u16     | u16  | u32    |     |       |
 *      +----------+----------+----------+---------+------+--------+-----+-------+
 *                            '--------- version ---------'
 *      shape    31     24 23     19   18       17       16            0
 *               +--------+---------+------+-----------+---------------+
 *               | key len| ms high | wide | tombstone | value length  |
 *               +--------+---------+------+-----------+---------------+
 *
 * The version's ms counts from the table's epoch, two years before the table was made; 5 of its
 * 37 bits are in the shape. `life` is the expiry minus the version's ms. Where either does not
 * fit (a version more than two years off, a record that expires before it was written or 49
 * days after), the record is wide:
 *
 *      0          4          8               14        16     18         24
 *      +----------+----------+---------------+---------+------+----------+-----+-------+
 *      | checksum | shape    | ms since 1970 | logical | node | expiry   | key | value |
 *      | u32      | u32      | u48           | u16     | u16  | u48      |     |       |
 *      +----------+----------+---------------+---------+------+----------+-----+-------+
 *
 * The table id belongs to the segment.
 *
 * A bucket of the index, 64 bytes so that it is one cache line:
 *
 *      0                20                         60        64
 *      +----------------+--------------------------+---------+
 *      | 10 marks, u16  | 10 places, u32           | link    |    link: the overflow bucket
 *      +----------------+--------------------------+---------+    that goes on, plus 1; or 0
 *      mark     15          6 5    4 3       0     place    31         20 19        0
 *               +------------+------+--------+              +------------+----------+
 *               | tag, not 0 | uses | number |              | number     | offset   |
 *               +------------+------+--------+              +------------+----------+
 *                                    bits 12-15              bits 0-11 of the segment's number
 *
 * A slot with mark 0 is empty. Number 0 is never given to a segment.
 */
export const narrowHeader = 20
export const wideHeader = 24

export const at = { checksum: 0, shape: 4, ms: 8 } as const
export const narrowAt = { logical: 12, node: 14, life: 16 } as const
export const wideAt = { logical: 14, node: 16, expiry: 18 } as const

export const valueLengthMask = 0x1ffff
export const tombstoneBit: number = 1 << 17
export const wideBit: number = 1 << 18
export const msHighShift = 19
export const msHighMask = 31
export const keyLengthShift = 24

/** How far before a table's start its epoch lies: half of what 37 bits can tell. */
export const epochLead: number = 2 ** 36

export const bucketLength = 64
export const slotsPerBucket = 10
/** In a bucket seen as 16-bit and as 32-bit words. */
export const bucketHalves = 32
export const bucketWords = 16
export const firstPlace = 5
export const linkWord = 15

export const tagShift = 6
export const tagMask = 0x3ff
export const usesShift = 4
export const usesMask = 3
export const numberHighMask = 15
export const offsetBits = 20
export const offsetMask = 0xfffff

/** A segment's number: 1 to 65535. */
export type SegmentNumber = number & { readonly __brand: 'SegmentNumber' }
/** Where a record begins in its segment, in bytes. */
export type Offset = number & { readonly __brand: 'Offset' }
/** Which chain of buckets; not a count of them. */
export type BucketIndex = number & { readonly __brand: 'BucketIndex' }

export const maxSegmentNumber = 65_535
export const maxSegmentLength: number = 1 << offsetBits
/** Holds the largest record, 24 + 255 + 65536 bytes. */
export const minSegmentLength: number = 1 << 17

/** No smaller, so that even a small table has enough segments to choose a victim from. */
export const minTableBytes: number = 4 * 1024 * 1024
/** A quarter of the segment numbers is left over for those that wait for the sweep. */
export const maxTableBytes: number = 48 * 1024 * 1024 * 1024

/** A 64th of the table, from 128 KiB to 1 MiB. */
export function segmentLength(maxBytes: number): number {
  let length = minSegmentLength
  while (length < maxSegmentLength && length * 128 <= maxBytes) length *= 2
  return length
}
