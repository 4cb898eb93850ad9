import type { Socket } from 'node:net'
import type { CheckpointKeeper } from './checkpoint/checkpoints.ts'
import type { NativeSocket } from './native/native-socket.ts'
import type { TakeoverCounters } from './takeover-counters.ts'

/** Given to who serves connections that are to outlive its process. */
export interface ProtectionOptions {
  /** Where it is written down what others need to go on with a connection. */
  readonly keeper: CheckpointKeeper<Socket>
  readonly native: NativeSocket
  readonly counters: TakeoverCounters
}
