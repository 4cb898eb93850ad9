import { maxClockDifference } from '../../record/hybrid-clock.ts'

/**
 * The 16 bytes in clear at the front of a ticket, which Node lets us choose and OpenSSL's HMAC
 * covers. They carry what must be known of a session before it resumes:
 *
 *      0            9                  13      14       16
 *      +------------+------------------+-------+--------+
 *      | lineage    | original time    | scope | zeros  |    XOR mask
 *      | 9 B random | u32 ms, mod 2^32 | u8    | 2 B    |
 *      +------------+------------------+-------+--------+
 *
 * mask: AES-128 of the ticket's IV under the name key of its epoch. The IV is new for each
 * ticket, so that an observer sees random bytes, and nothing that two tickets have in common.
 * The zeros tell the key by which it is to be opened. They are no proof: that is the HMAC.
 */
export interface TicketChain {
  /** Drawn at the full handshake, and the same in all tickets that follow from it. */
  readonly lineage: Buffer
  /** Wall time of that handshake in ms. */
  readonly originalAt: number
}

export const nameLength = 16
export const sealedLineageLength = 9
/** Time comes round after 49 days: older chains are over, whatever the options say. */
export const longestChain: number = 30 * 24 * 3_600_000

/** Turns a mask into a name. */
export function writeName(
  mask: Buffer,
  { lineage, originalAt }: TicketChain,
  tag: number,
): void {
  for (let at = 0; at < sealedLineageLength; at += 1) xor(mask, at, lineage[at] ?? 0)
  const time = wrapped(originalAt)
  xor(mask, 9, time >>> 24)
  xor(mask, 10, time >>> 16)
  xor(mask, 11, time >>> 8)
  xor(mask, 12, time)
  xor(mask, 13, tag)
}

/** What the name says to who has the right mask; undefined for any other. */
export function readName(
  name: Buffer,
  mask: Buffer,
  now: number,
): (TicketChain & { readonly tag: number }) | undefined {
  if (name[14] !== mask[14] || name[15] !== mask[15]) return undefined
  const age = ageOf((name.readUInt32BE(9) ^ mask.readUInt32BE(9)) >>> 0, now)
  if (age > longestChain + slack) return undefined
  const lineage = Buffer.allocUnsafe(sealedLineageLength)
  for (let at = 0; at < sealedLineageLength; at += 1) {
    lineage[at] = (name[at] ?? 0) ^ (mask[at] ?? 0)
  }
  return { lineage, originalAt: now - age, tag: (name[13] ?? 0) ^ (mask[13] ?? 0) }
}

/** Negative, but not much, where the clock of who sealed it is ahead. */
function ageOf(time: number, now: number): number {
  const passed = wrapped(now + maxClockDifference) - time
  return (passed < 0 ? passed + modulus : passed) - maxClockDifference
}

function wrapped(time: number): number {
  return Math.floor(time) % modulus
}

function xor(bytes: Buffer, at: number, value: number): void {
  bytes[at] = (bytes[at] ?? 0) ^ value
}

const modulus = 2 ** 32
/** Chains that have just come to their end are told from noise. */
const slack = 8 * 24 * 3_600_000
