import type { Duplex, Readable } from 'node:stream'

/**
 * A connection that is closed while the client still sends is reset by the kernel, and the
 * reset may overtake the answer. So what comes is read and dropped for a while first
 * (RFC 9112 9.6).
 */
export const lingerTime = 2_000
const lingerBytes = 1024 * 1024

/** Ends the connection after what has been written. */
export function closeSoon(socket: Duplex): void {
  socket.removeAllListeners('data')
  socket.resume()
  socket.end()
  destroyAfter(socket)
}

/** Drops the rest of a request that was answered early; the connection may live on after it. */
export function discard(source: Readable, socket: Duplex): void {
  const stop = destroyAfter(socket)
  let bytes = 0
  source.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > lingerBytes) socket.destroy()
  })
  source.once('end', stop)
  source.resume()
}

function destroyAfter(socket: Duplex): () => void {
  const timer = setTimeout(() => socket.destroy(), lingerTime)
  timer.unref()
  const stop = () => clearTimeout(timer)
  socket.once('close', stop)
  return stop
}
