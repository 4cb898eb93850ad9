import type { QueuePlace } from '../../limit/fair-queue.ts'
import { networkOf } from '../../limit/network.ts'
import { handshakeOf } from '../../resumption/handshake.ts'
import type { AuthRequest } from './request.ts'
import type { Waiters } from './waiters.ts'

/** Who waits to be let in: for a fair turn, and to stop when nobody waits any more. */
export interface Asker extends QueuePlace {
  /** The client has left: nobody will hear the answer. */
  readonly gone: boolean
  /** Calls back once when that happens. Whoever listens says when it no longer does. */
  onGone(listener: () => void): () => void
}

/**
 * `address`: where the client is, as far as that is known. `waiters`: all requests that wait for
 * the answer, where they may be several.
 */
export function askerOf(
  request: AuthRequest,
  address: string | undefined,
  waiters: Waiters | undefined,
): Asker {
  let gone = false
  return {
    network: networkOf(address ?? ''),
    // HTTP/2 hands out a new socket proxy for each request; the handshake stays the same.
    connection: handshakeOf(request.socket) ?? request.socket,
    get gone() {
      return gone
    },
    onGone(listener) {
      const leave = () => {
        if (gone) return
        gone = true
        listener()
      }
      const stopWaiting =
        waiters === undefined ? request.onGone?.(leave) : waiters.onNone(leave)
      const stopListening = onEnd(this.connection, request.socket, leave)
      return () => {
        stopWaiting?.()
        stopListening()
      }
    },
  }
}

/** Who waits on a connection. It is listened to once, however many they are. */
const waiting = new WeakMap<object, Set<() => void>>()

function onEnd(connection: object, socket: object, listener: () => void): () => void {
  let listeners = waiting.get(connection)
  if (listeners === undefined) {
    const all = new Set<() => void>()
    listeners = all
    waiting.set(connection, all)
    // What a test or a framework takes for a socket may say nothing at all.
    ;(socket as Partial<NodeJS.EventEmitter>).once?.('close', () => {
      for (const leave of all) leave()
    })
  }
  listeners.add(listener)
  return () => listeners.delete(listener)
}
