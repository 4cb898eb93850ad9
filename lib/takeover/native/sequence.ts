/**
 * Sequence numbers of TCP (RFC 9293 3.4) have 32 bits and begin anywhere. All of handfast counts
 * positions in the stream instead, exact integers from 0; here the two meet.
 */
const modulus = 2 ** 32

/** The sequence number of a position, in a stream whose first byte has the number `start`. */
export function sequenceAt(start: number, position: number): number {
  return modulo(start + position)
}

/** The position that a sequence number means: of all that it could, the nearest to `near`. */
export function positionOf(start: number, sequence: number, near: number): number {
  return near + signedDistance(sequenceAt(start, near), sequence)
}

/** How far `to` is behind `from`: from -2^31 to 2^31 - 1. */
export function signedDistance(from: number, to: number): number {
  return (to - from) | 0
}

/** Of any integer, negative ones and those beyond 2^32 as well. */
function modulo(value: number): number {
  return ((value % modulus) + modulus) % modulus
}
