/*
 * A protected record of TLS 1.3 (RFC 8446 5.2) as it is made here, without padding:
 *
 *     | 23 | 3 3 | length, 2 bytes | content, sealed ... | its type, sealed | tag, 16 bytes |
 *     |<-------- header ---------->|<----------------- length ---------------------------->|
 *
 * The first 5 bytes are the additional data of the seal. The nonce is the number of the record
 * under its key, and goes over the wire nowhere.
 */

/** Bytes of content that a record holds at most (RFC 8446 5.1). */
export const fullRecord = 16_384

export const headerBytes = 5
export const typeBytes = 1
export const tagBytes = 16

/** Bytes on the wire that a record is longer than its content. */
export const recordOverhead: number = headerBytes + typeBytes + tagBytes

/** What `length` may say at most, padding and all (RFC 8446 5.2). */
export const longestSealed: number = fullRecord + 256

/** RFC 8446 B.1. */
export const contentType = {
  changeCipherSpec: 20,
  alert: 21,
  handshake: 22,
  applicationData: 23,
} as const
