import type { Socket } from 'node:net'
import type { Clock } from '../../../clock.ts'
import { recordBundle } from '../../checkpoint/bundles.ts'
import { longestCheckpoint } from '../../checkpoint/checkpoint.ts'
import type { CheckpointKeeper } from '../../checkpoint/checkpoint-keeper.ts'
import type { CheckpointedConnection } from '../../checkpoint/checkpointed-connection.ts'
import { encodeCheckpoint } from '../../checkpoint/codec.ts'
import type { ToldCheckpoint } from '../../checkpoint/told-checkpoint.ts'
import type { TakeoverBoard } from './board.ts'
import { ProgressBook } from './progress.ts'

/** All other members of the farm, as this one writes down its connections for them. */
export class BoardKeeper implements CheckpointKeeper<Socket> {
  /** They can't ask the kernel of a host that is gone. */
  readonly wantsProgress = true
  readonly keepsBundles: boolean
  readonly #board: TakeoverBoard
  readonly #clock: Clock
  readonly #progress: ProgressBook

  constructor(board: TakeoverBoard, clock: Clock, keepsBundles: boolean) {
    this.#board = board
    this.#clock = clock
    this.keepsBundles = keepsBundles
    this.#progress = new ProgressBook(board)
  }

  write(
    of: CheckpointedConnection<Socket>,
    checkpoint: Buffer,
    done?: () => void,
  ): boolean {
    // Nobody else goes on with it while this host lives.
    if (done !== undefined) return false
    const own = toldOf(of, checkpoint)
    // It has just been closed, and is retired before long.
    if (own === undefined) return true
    const bundle = recordBundle(this, of)
    if (bundle === undefined) this.#board.write(of.id, [own])
    else this.#board.write(bundle.id, [own, ...this.#others(of, checkpoint.length)])
    return true
  }

  progress(of: CheckpointedConnection<Socket>, acked: number): void {
    this.#progress.note(of.id.toString('hex'), acked)
  }

  give(): void {}

  retire(of: CheckpointedConnection<Socket>): void {
    this.#progress.forget(of.id.toString('hex'))
    const bundle = recordBundle(this, of)
    if (bundle === undefined) this.#board.write(of.id, [])
    else this.#board.write(bundle.id, this.#others(of, 0))
  }

  /** Tells of all progress at once. */
  flush(): void {
    this.#progress.flush()
  }

  /**
   * The others of its bundle, as of this moment. One that nobody could go on with now, or that has
   * no room beside `taken` bytes, is told of as whose it is and how far: so that it can be ended.
   */
  #others(of: CheckpointedConnection<Socket>, taken: number): ToldCheckpoint[] {
    const at = this.#clock.now()
    let room = longestCheckpoint - taken
    const all: ToldCheckpoint[] = []
    for (const other of of.bundle?.members ?? []) {
      if (other === of) continue
      const checkpoint = other.checkpoint(at)
      let bytes = checkpoint && encodeCheckpoint(checkpoint)
      if (bytes === undefined || bytes.length > room) {
        bytes = other.isWritten ? encodeCheckpoint(other.remains(at)) : undefined
      } else if (!other.isCurrent) other.told(this.#clock.monotonic(), bytes.length)
      const told = bytes && bytes.length <= room && toldOf(other, bytes)
      if (!told) continue
      room -= told.checkpoint.length
      all.push(told)
    }
    return all
  }
}

function toldOf(
  { id, opened }: CheckpointedConnection<Socket>,
  checkpoint: Buffer,
): ToldCheckpoint | undefined {
  const acked = opened.connection.acked()
  return acked === undefined ? undefined : { id, acked, checkpoint }
}
