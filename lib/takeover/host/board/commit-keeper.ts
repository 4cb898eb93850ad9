import type { Socket } from 'node:net'
import type { Clock } from '../../../clock.ts'
import { recordBundle } from '../../checkpoint/bundles.ts'
import type {
  CheckpointKeeper,
  OutputCommit,
} from '../../checkpoint/checkpoint-keeper.ts'
import type { CheckpointedConnection } from '../../checkpoint/checkpointed-connection.ts'
import type { CommitLog, NumberedWord } from '../../commit/commit-log.ts'
import type { CommitEntry } from '../../commit/commit-word.ts'
import type { TakeoverBoard } from './board.ts'
import { type CommitBoard, wordLife } from './commit-board.ts'
import { ProgressBook } from './progress.ts'

export interface CommitKeeperParts {
  readonly board: TakeoverBoard
  readonly words: CommitBoard
  readonly log: CommitLog
  readonly clock: Clock
  readonly keepsBundles: boolean
}

/** All other members of the farm, which have to know what a client is told before it is. */
export class CommitKeeper implements CheckpointKeeper<Socket>, OutputCommit<Socket> {
  readonly wantsProgress = true
  readonly keepsBundles: boolean
  readonly #words: CommitBoard
  readonly #log: CommitLog
  readonly #clock: Clock
  readonly #progress: ProgressBook
  /** The last word of each connection, the oldest first. */
  readonly #said = new Map<string, Said>()

  constructor({ board, words, log, clock, keepsBundles }: CommitKeeperParts) {
    this.keepsBundles = keepsBundles
    this.#words = words
    this.#log = log
    this.#clock = clock
    this.#progress = new ProgressBook(board)
  }

  get output(): OutputCommit<Socket> {
    return this
  }

  write(
    of: CheckpointedConnection<Socket>,
    checkpoint: Buffer,
    done?: () => void,
  ): boolean {
    // Nobody else goes on with it while this host lives.
    if (done !== undefined) return false
    this.#say(of, 'exact', checkpoint)
    return true
  }

  commit(
    of: CheckpointedConnection<Socket>,
    checkpoint: Buffer,
  ): Promise<boolean> | undefined {
    this.#say(of, 'exact', checkpoint)
    return this.#settled(of, true)
  }

  suspend(
    of: CheckpointedConnection<Socket>,
    checkpoint: Buffer,
  ): Promise<boolean> | undefined {
    const last = this.#said.get(keyOf(of))
    // Nobody knows of it, or all are told already.
    if (last?.entry.standing === 'exact') this.#say(of, 'suspended', checkpoint)
    return this.#settled(of, false)
  }

  progress(of: CheckpointedConnection<Socket>, acked: number): void {
    this.#progress.note(keyOf(of), acked)
  }

  give(): void {}

  retire(of: CheckpointedConnection<Socket>): void {
    const key = keyOf(of)
    this.#progress.forget(key)
    this.#said.delete(key)
    this.#put(of, this.#log.over(key, this.#placeOf(of).toString('hex')))
  }

  /** Tells of all progress at once, and again what was told so long ago that it soon is forgotten. */
  flush(): void {
    this.#progress.flush()
    const before = this.#clock.monotonic() - wordLife / 3
    let left = mostAgain
    for (const { at, of, entry } of this.#said.values()) {
      left -= 1
      if (at > before || left < 0) return
      this.#tell(of, entry)
    }
  }

  #say(
    of: CheckpointedConnection<Socket>,
    standing: CommitEntry['standing'],
    checkpoint: Buffer,
  ): void {
    const acked = of.opened.connection.acked()
    // It has just been closed, and is retired before long.
    if (acked === undefined) return
    this.#tell(of, { id: of.id, standing, acked, checkpoint })
  }

  #tell(of: CheckpointedConnection<Socket>, entry: CommitEntry): void {
    const [key, place] = [keyOf(of), this.#placeOf(of).toString('hex')]
    this.#said.set(key, { of, entry, at: this.#clock.monotonic() })
    this.#put(of, this.#log.next(key, entry.standing === 'exact', place))
  }

  /**
   * Writes what stands of it, and of the others of its bundle: they have said nothing that is not
   * in their last entry, so all of it is of one moment.
   */
  #put(of: CheckpointedConnection<Socket>, { number, names }: NumberedWord): void {
    const entries: CommitEntry[] = []
    for (const each of recordBundle(this, of)?.members ?? [of]) {
      const said = this.#said.get(keyOf(each))
      if (said === undefined) continue
      entries.push(said.entry)
      // Told last, so it is the last to be told again.
      this.#said.delete(keyOf(each))
      this.#said.set(keyOf(each), { ...said, at: this.#clock.monotonic() })
    }
    const { life } = this.#words
    this.#words.say(this.#placeOf(of), { life, number, names, entries })
  }

  /** Under which its words stand. */
  #placeOf(of: CheckpointedConnection<Socket>): Buffer {
    return recordBundle(this, of)?.id ?? of.id
  }

  /** False: others could go on from before it. */
  #settled(
    of: CheckpointedConnection<Socket>,
    all: boolean,
  ): Promise<boolean> | undefined {
    return this.#log.settled(keyOf(of), all)?.then(outcome => outcome !== 'refused')
  }
}

interface Said {
  readonly of: CheckpointedConnection<Socket>
  readonly entry: CommitEntry
  /** By the steady clock. */
  readonly at: number
}

/** Words that are said again in one go. */
const mostAgain = 100

function keyOf({ id }: CheckpointedConnection<Socket>): string {
  return id.toString('hex')
}
