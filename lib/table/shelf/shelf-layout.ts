/**
 * The bytes of the shelf: an index and one ring for each process of the host, all of them files
 * in memory. Numbers are little-endian. Lengths are fixed by test/table/shelf-layout.test.ts.
 *
 * The index: a head, then buckets of 8 entries.
 *
 *      0         8       16         20      24          32          40              4136    8192
 *      +---------+-------+----------+-------+-----------+-----------+---------------+-------+--
 *      | magic   | id    | buckets  | rings | max bytes | of each   | words for the | zeros | buckets
 *      | 8 B     | 8 B   | u32      | u32   | u48       | ring, u48 | hash, 4096 B  |       |
 *      +---------+-------+----------+-------+-----------+-----------+---------------+-------+--
 *      rings: so many were ever in use at once
 *
 * An entry; tag 0 is an empty one:
 *
 *      0        4            8             13        15     16
 *      +--------+------------+-------------+---------+------+
 *      | tag    | expires    | at          | length  | ring |    at and length in units of 16 B
 *      | u32    | u32 s      | u40         | u16     | u8   |
 *      +--------+------------+-------------+---------+------+
 *
 * A ring: a head, then records one after the other, each from a whole unit on.
 *
 *      0      8        16           22     32
 *      +------+--------+------------+------+--      +----------+---------+---------------------+
 *      | id   | number | written to | zeros| ...    | checksum | length  | record, as between  |
 *      | 8 B  | u64    | u48        |      |        | u32      | u32     | members             |
 *      +------+--------+------------+------+--      +----------+---------+---------------------+
 *
 * A process appends to its own ring, where nobody else writes, and then writes one entry. A
 * reader trusts nothing: tag, length, key and checksum must fit. So what was half written when
 * its writer was killed, what is being written, and what the ring has written over are misses.
 * There is no lock that the dead could hold. Two that write the same entry at once lose one of
 * the records.
 */
export const magic: Buffer = Buffer.from('hfshelf1')
export const indexHead = 8192
export const indexAt = { id: 8, buckets: 16, rings: 20, maxBytes: 24, seed: 40 } as const

export const entryLength = 16
export const entriesPerBucket = 8
export const bucketBytes: number = entryLength * entriesPerBucket
export const entryAt = { tag: 0, expires: 4, at: 8, length: 13, ring: 15 } as const

export const ringHead = 32
export const ringAt = { id: 0, number: 8, written: 16 } as const
export const unit = 16
export const recordHead = 8
export const recordAt = { checksum: 0, length: 4 } as const

/** Processes of one host that may put records on its shelf. */
export const maxRings = 64
/** Of the bytes of a shelf, one in so many is index: three entries for each record of 380 B. */
export const indexShare = 8
