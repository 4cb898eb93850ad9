import type { CheckpointedConnection } from './checkpointed-connection.ts'

/**
 * Nothing is said to a client before those who keep its checkpoints know what it follows from (row
 * C7). Both resolve with false when it must not be said: one of them may go on from before it.
 * Undefined: nobody has to be waited for.
 */
export interface OutputCommit<Socket> {
  /** Writes a checkpoint, from which all follows that is said next. */
  commit(
    of: CheckpointedConnection<Socket>,
    checkpoint: Buffer,
  ): Promise<boolean> | undefined
  /** What is said next nobody else could say. Until the next checkpoint nobody goes on. */
  suspend(
    of: CheckpointedConnection<Socket>,
    checkpoint: Buffer,
  ): Promise<boolean> | undefined
}

/** Where checkpoints are kept, apart from the process that writes them. */
export interface CheckpointKeeper<Socket> {
  /** Who has the socket itself asks its kernel, and needs to be told nothing. */
  readonly wantsProgress: boolean
  /** It has bundles as of one moment, in one record that all of them share. */
  readonly keepsBundles?: boolean | undefined
  /** Undefined: what is said waits for nobody. */
  readonly output?: OutputCommit<Socket> | undefined
  /** False: not now; it is asked again. `done`: it has left this process, or never will. */
  write(
    of: CheckpointedConnection<Socket>,
    checkpoint: Buffer,
    done?: () => void,
  ): boolean
  /** How far the client has come; may be dropped. */
  progress(of: CheckpointedConnection<Socket>, acked: number): void
  /** Its last checkpoint has been written, and it is closed here: somebody else goes on with it. */
  give(of: CheckpointedConnection<Socket>): void
  /** The connection is over. Called for those alone of which something was written. */
  retire(of: CheckpointedConnection<Socket>): void
}
