import type { Socket } from 'node:net'
import type {
  CheckpointedConnection,
  CheckpointKeeper,
} from '../checkpoint/checkpoints.ts'
import type { TakeoverBoard } from './board.ts'
import { ProgressBook } from './progress.ts'

/** All other members of the farm, as this one writes down its connections for them. */
export class BoardKeeper implements CheckpointKeeper<Socket> {
  /** They can't ask the kernel of a host that is gone. */
  readonly wantsProgress = true
  readonly #board: TakeoverBoard
  readonly #progress: ProgressBook

  constructor(board: TakeoverBoard) {
    this.#board = board
    this.#progress = new ProgressBook(board)
  }

  write(
    of: CheckpointedConnection<Socket>,
    checkpoint: Buffer,
    done?: () => void,
  ): boolean {
    // Nobody else goes on with it while this host lives.
    if (done !== undefined) return false
    const acked = of.opened.connection.acked()
    // It has just been closed, and is retired before long.
    if (acked !== undefined) this.#board.write(of.id, acked, checkpoint)
    return true
  }

  progress(of: CheckpointedConnection<Socket>, acked: number): void {
    this.#progress.note(of.id.toString('hex'), acked)
  }

  give(): void {}

  retire(of: CheckpointedConnection<Socket>): void {
    this.#progress.forget(of.id.toString('hex'))
    this.#board.retire(of.id)
  }

  /** Tells of all progress at once. */
  flush(): void {
    this.#progress.flush()
  }
}
