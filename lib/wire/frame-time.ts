import { ByteReader, ByteWriter } from './frame-bytes.ts'

/** What a member's clocks say as it speaks, ms since 1970. */
export interface PeerTimes {
  /** Its own wall clock. */
  readonly wall: number
  /** The farm's time as it knows it: the hybrid clock. */
  readonly farm: number
}

/**
 * The body of `time`:
 *
 *      0          6          12
 *      +----------+----------+
 *      | wall u48 | farm u48 |
 *      +----------+----------+
 */
export function writeTimes({ wall, farm }: PeerTimes): Buffer {
  return new ByteWriter().uint48(Math.floor(wall)).uint48(Math.floor(farm)).done()
}

export function readTimes(body: Buffer): PeerTimes {
  const read = new ByteReader(body)
  const times = { wall: read.uint48(), farm: read.uint48() }
  read.end()
  return times
}
