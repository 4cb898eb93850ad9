import type { Socket } from 'node:net'
import type { CheckpointKeeper } from './checkpoint/checkpoint-keeper.ts'
import type { Standing } from './commit/commit-word.ts'
import type { NativeSocket } from './native/native-socket.ts'
import type { TakeoverCounters } from './takeover-counters.ts'

/** How far a connection was when this host's socket for it was made: where it was accepted, 0. */
export interface Base {
  readonly position: number
  readonly readPosition: number
}

/** How far a connection of another host is, where it goes on here. */
export interface Inheritance extends Base {
  readonly standing: Standing
}

/** Given to who serves connections that are to outlive its process. */
export interface ProtectionOptions {
  /** Where it is written down what others need to go on with a connection. */
  readonly keeper: CheckpointKeeper<Socket>
  readonly native: NativeSocket
  readonly counters: TakeoverCounters
  /** Told of each connection; see Watchdog. */
  readonly watch?: ((socket: Socket) => void) | undefined
  /**
   * What other hosts' kernels have to be told of a socket that was `base` far when it was made.
   * Undefined: connections stay on this host.
   */
  readonly kernelOf?: ((fd: number, base: Base) => Buffer) | undefined
}
