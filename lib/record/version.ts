/**
 * The version of a record: a hybrid logical clock and the node that wrote it. The larger
 * version wins, everywhere and in whatever order two writes arrive.
 *
 *      0                 6         8         10
 *      +-----------------+---------+---------+
 *      | ms since 1970   | logical | node    |    all big-endian, unsigned
 *      +-----------------+---------+---------+
 *
 * Kulkarni et al., "Logical Physical Clocks", 2014; the bound on a peer's lead follows
 * CockroachDB's UpdateAndCheckMaxOffset.
 */
export interface Version {
  /** Milliseconds since 1970, 48 bits. */
  readonly ms: number
  /** Orders writes of one millisecond, 16 bits. */
  readonly logical: number
  /** Number of the node that wrote it, 16 bits, drawn at random at each start. */
  readonly node: number
}

export const versionLength = 10

/** Negative when `a` is older than `b`, 0 when equal, positive when newer. */
export function compareVersions(a: Version, b: Version): number {
  return a.ms - b.ms || a.logical - b.logical || a.node - b.node
}

export function writeVersion(version: Version, target: Buffer, offset: number): number {
  target.writeUIntBE(version.ms, offset, 6)
  target.writeUInt16BE(version.logical, offset + 6)
  target.writeUInt16BE(version.node, offset + 8)
  return offset + versionLength
}

export function readVersion(source: Buffer, offset: number): Version {
  return {
    ms: source.readUIntBE(offset, 6),
    logical: source.readUInt16BE(offset + 6),
    node: source.readUInt16BE(offset + 8),
  }
}
