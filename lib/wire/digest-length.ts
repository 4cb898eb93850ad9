/**
 * What a table holds, in 8 KiB: for each of 1024 buckets of keys the exclusive-or of a 64-bit
 * hash of every record's key and version. Equal digests, equal tables; a bucket that differs
 * says where to look.
 *
 *      bucket 0              bucket 1                         bucket 1023
 *      +---------+---------+---------+---------+----- ... ---+---------+---------+
 *      | u32     | u32     | u32     | u32     |             | u32     | u32     |
 *      +---------+---------+---------+---------+----- ... ---+---------+---------+
 *
 * Not a defence against a member that wants two tables to look alike; members are trusted.
 */
export const buckets = 1_024
export const digestLength: number = buckets * 8
