import type { Socket } from 'node:net'
import type { Duplex, Readable } from 'node:stream'

/**
 * A connection that is closed while the client still sends is reset by the kernel, and the
 * reset may overtake the answer (RFC 9112 9.6). Many clients look for one only when they have
 * sent all, so what comes is read and dropped first, as long as it does come: this is the
 * longest silence, in milliseconds.
 */
export const lingerTime = 2_000

/** The longest in all, as with nginx. */
const lingerLimit = 30_000

/** Ends the connection after what has been written. */
export function closeSoon(socket: Duplex): void {
  // Its `close` has been, or is about to be: nothing would end the watch.
  if (socket.destroyed) return
  socket.removeAllListeners('data')
  socket.resume()
  socket.end()
  destroyAfter(socket)
}

/** Drops the rest of a request that was answered early; the connection may live on after it. */
export function discard(source: Readable, socket: Duplex): void {
  const stop = destroyAfter(socket)
  source.once('end', () => {
    stop()
    // The connection lives on, and may see many such requests.
    socket.off('close', stop)
  })
  source.resume()
}

function destroyAfter(socket: Duplex): () => void {
  let { bytesRead: bytes = 0 } = socket as Partial<Socket>
  let left = lingerLimit / lingerTime
  const timer = setInterval(() => {
    const { bytesRead = bytes } = socket as Partial<Socket>
    if (bytesRead === bytes || --left === 0) socket.destroy()
    bytes = bytesRead
  }, lingerTime)
  timer.unref()
  const stop = () => clearInterval(timer)
  socket.once('close', stop)
  return stop
}
