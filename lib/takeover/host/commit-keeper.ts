import type { Socket } from 'node:net'
import type { Clock } from '../../clock.ts'
import type {
  CheckpointedConnection,
  CheckpointKeeper,
  OutputCommit,
} from '../checkpoint/checkpoints.ts'
import type { CommitLog } from '../commit/commit-log.ts'
import type { CommitEntry } from '../commit/commit-word.ts'
import type { TakeoverBoard } from './board.ts'
import { type CommitBoard, wordLife } from './commit-board.ts'
import { ProgressBook } from './progress.ts'

/** All other members of the farm, which have to know what a client is told before it is. */
export class CommitKeeper implements CheckpointKeeper<Socket>, OutputCommit<Socket> {
  readonly wantsProgress = true
  readonly #words: CommitBoard
  readonly #log: CommitLog
  readonly #clock: Clock
  readonly #progress: ProgressBook
  /** The last word of each connection, the oldest first. */
  readonly #said = new Map<string, Said>()

  constructor(board: TakeoverBoard, words: CommitBoard, log: CommitLog, clock: Clock) {
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
    this.#tell(of.id, [])
    this.#log.over(key)
  }

  /** Tells of all progress at once, and again what was told so long ago that it soon is forgotten. */
  flush(): void {
    this.#progress.flush()
    const before = this.#clock.monotonic() - wordLife / 3
    let left = mostAgain
    for (const { at, entry } of this.#said.values()) {
      left -= 1
      if (at > before || left < 0) return
      this.#tell(entry.id, [entry])
      this.#note(entry)
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
    const entry = { id: of.id, standing, acked, checkpoint }
    this.#note(entry)
    this.#tell(of.id, [entry])
  }

  #note(entry: CommitEntry): void {
    const key = entry.id.toString('hex')
    this.#said.delete(key)
    this.#said.set(key, { entry, at: this.#clock.monotonic() })
  }

  #tell(key: Buffer, entries: readonly CommitEntry[]): void {
    const isExact = entries.some(({ standing }) => standing === 'exact')
    const { number, names } = this.#log.next(key.toString('hex'), isExact)
    this.#words.say(key, { life: this.#words.life, number, names, entries })
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
  readonly entry: CommitEntry
  /** By the steady clock. */
  readonly at: number
}

/** Words that are said again in one go. */
const mostAgain = 100

function keyOf({ id }: CheckpointedConnection<Socket>): string {
  return id.toString('hex')
}
