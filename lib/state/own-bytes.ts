/**
 * A copy in memory of its own. Small buffers share a slab of Node's, and what was read from a socket
 * is part of a larger one: who keeps a few bytes of these for long keeps all of them.
 */
export function ownBytes(bytes: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(own)
  return own
}
