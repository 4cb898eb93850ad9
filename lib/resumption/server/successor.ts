import type { EventEmitter } from 'node:events'
import type { Server } from 'node:tls'
import type { Handshake } from '../handshake.ts'

/** What a connection is to those who may have to end it. */
export interface OpenSocket extends EventEmitter {
  destroy(): unknown
  /** Null once the connection has begun to close; that is not in Node's types. */
  getPeerCertificate(): { readonly raw?: Buffer } | null
}

export interface Successor {
  /** The stream by which the connection goes on. */
  readonly socket: OpenSocket
  readonly handshake: Handshake
  /** What it was before, which ends; undefined when that was in another process. */
  readonly before: OpenSocket | undefined
}

const successorEvent: unique symbol = Symbol.for('handfast.successor')

/** A connection of the server goes on by another stream: a revocation has to end that one. */
export function tellSuccessor(server: Server, successor: Successor): void {
  emitterOf(server).emit(successorEvent, successor)
}

/** Returns how to end it. */
export function onSuccessor(
  server: Server,
  told: (successor: Successor) => void,
): () => void {
  emitterOf(server).on(successorEvent, told)
  return () => emitterOf(server).off(successorEvent, told)
}

/** The types of a tls server know its own events alone. */
function emitterOf(server: Server): EventEmitter {
  return server
}
