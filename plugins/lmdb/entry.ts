/**
 * What an environment keeps. In the file, under its key:
 *
 *      0      1                17             23
 *      +------+----------------+--------------+---------+
 *      | kept | rank (16 B)    | expires at   | value   |
 *      | u8   | bytes in order | u48 ms       |         |
 *      +------+----------------+--------------+---------+
 */
export interface Entry {
  /** 1 to 511 bytes. Entries lie in the order of their keys. */
  readonly key: Buffer
  /** {@link rankLength} bytes that say which of two entries under a key is the newer one. */
  readonly rank: Buffer
  /** Wall time in milliseconds from which on it may be swept; {@link never} for never. */
  readonly expiresAt: number
  /** Not given up when the environment is full. */
  readonly kept: boolean
  readonly value: Buffer
}

/**
 * When a change is made. `newer`: over an entry of a lower rank, and where there is none.
 * `absent`: where there is none. A rank: over the entry that has it. `always`.
 */
export type Condition = 'newer' | 'absent' | 'always' | Buffer

export type Change =
  | { readonly when: Condition; readonly put: Entry }
  | { readonly when: Condition; readonly remove: Buffer }

export const rankLength = 16
export const headerLength = 23
/** LMDB itself takes four times as many; the index needs some for itself. */
export const maxKeyBytes = 511
export const never: number = 2 ** 48 - 1

/** The bytes behind the key. */
export function writeStored(entry: Entry): Buffer {
  const bytes = Buffer.allocUnsafe(headerLength + entry.value.length)
  bytes[0] = entry.kept ? 1 : 0
  entry.rank.copy(bytes, 1)
  bytes.writeUIntBE(Math.min(never, Math.floor(entry.expiresAt)), 17, 6)
  entry.value.copy(bytes, headerLength)
  return bytes
}

/** Views of `stored`; undefined for bytes that are no entry. */
export function readStored(key: Buffer, stored: Buffer): Entry | undefined {
  if (stored.length < headerLength) return undefined
  return {
    key,
    rank: stored.subarray(1, 17),
    expiresAt: stored.readUIntBE(17, 6),
    kept: stored[0] === 1,
    value: stored.subarray(headerLength),
  }
}

/**
 * Changes and entries on their way between threads, one behind the other in memory that changes
 * hands:
 *
 *      +------------+-----------+------------+--------------+-----+--------+
 *      | condition  | key bytes | stored     | expected     | key | stored |
 *      | u8         | u16       | bytes, u32 | rank (16 B)  |     |        |
 *      +------------+-----------+------------+--------------+-----+--------+
 *
 * `stored` is empty where the key is to be removed.
 */
const packedHeader = 23

export const conditions = { newer: 0, absent: 1, always: 2, rank: 3 } as const

export interface Packed {
  readonly condition: number
  readonly expected: Buffer
  readonly key: Buffer
  readonly stored: Buffer
}

export function packedLength(change: Change): number {
  return 'put' in change
    ? packedHeader + change.put.key.length + headerLength + change.put.value.length
    : packedHeader + change.remove.length
}

export function packChanges(changes: readonly Change[]): ArrayBuffer {
  return pack(
    changes.map(change => ({
      condition:
        typeof change.when === 'string' ? conditions[change.when] : conditions.rank,
      expected: typeof change.when === 'string' ? noRank : change.when,
      key: 'put' in change ? change.put.key : change.remove,
      stored: 'put' in change ? writeStored(change.put) : nothing,
    })),
  )
}

export function packEntries(
  entries: readonly (readonly [Buffer, Buffer])[],
): ArrayBuffer {
  return pack(
    entries.map(([key, stored]) => ({
      condition: conditions.always,
      expected: noRank,
      key,
      stored,
    })),
  )
}

/** Views of the memory. */
export function* unpack(memory: ArrayBuffer): Generator<Packed, undefined> {
  const bytes = Buffer.from(memory)
  let offset = 0
  while (offset < bytes.length) {
    const keyStart = offset + packedHeader
    const storedStart = keyStart + bytes.readUInt16BE(offset + 1)
    const end = storedStart + bytes.readUInt32BE(offset + 3)
    yield {
      condition: bytes.readUInt8(offset),
      expected: bytes.subarray(offset + 7, keyStart),
      key: bytes.subarray(keyStart, storedStart),
      stored: bytes.subarray(storedStart, end),
    }
    offset = end
  }
}

function pack(all: readonly Packed[]): ArrayBuffer {
  let length = 0
  for (const { key, stored } of all) length += packedHeader + key.length + stored.length
  const memory = new ArrayBuffer(length)
  const bytes = Buffer.from(memory)
  let offset = 0
  for (const { condition, expected, key, stored } of all) {
    bytes[offset] = condition
    bytes.writeUInt16BE(key.length, offset + 1)
    bytes.writeUInt32BE(stored.length, offset + 3)
    expected.copy(bytes, offset + 7)
    key.copy(bytes, offset + packedHeader)
    stored.copy(bytes, offset + packedHeader + key.length)
    offset += packedHeader + key.length + stored.length
  }
  return memory
}

const nothing = Buffer.alloc(0)
const noRank = Buffer.alloc(rankLength)
