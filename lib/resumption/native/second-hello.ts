import type { NativeHandle } from './native-handle.ts'

/*
 * A server that likes none of the client's key shares asks for a second hello with another one
 * (HelloRetryRequest, RFC 8446 4.1.4), and the client offers its session in both. OpenSSL looks
 * it up each time, but Node hands it out once, and raises `resumeSession` for the first hello
 * only: the second lookup finds nothing, and no handshake of such a server ever resumes. So the
 * session is given once more, between the two.
 *
 * Neither Node nor OpenSSL tells us of the request. It is known by its size: some 60 to 100
 * bytes, where a handshake that goes on sends twice as many.
 */

/** Bytes that TLS has handed to the connection under it; NaN where Node does not tell. */
export function bytesSent(handle: NativeHandle): number {
  return handle._parent?.bytesWritten ?? Number.NaN
}

/** TLS has asked for a second hello, having sent so much `before` it read the first. */
export function askedAgain(handle: NativeHandle, before: number): boolean {
  const sent = bytesSent(handle) - before
  return sent > 0 && sent <= longestRetryRequest
}

/** A resumed handshake begins with at least 187 bytes, a request with its CCS has 99 or fewer. */
const longestRetryRequest = 128
