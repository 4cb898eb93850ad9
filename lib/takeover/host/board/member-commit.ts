import type { Clock, Timer } from '../../../clock.ts'
import { CommitLog, type CommitOutcome } from '../../commit/commit-log.ts'
import type { CommitPresence, Life } from '../../commit/commit-word.ts'
import type { LeftConnection, TakeoverBoard } from './board.ts'
import { CommitBoard } from './commit-board.ts'
import { CommitKeeper } from './commit-keeper.ts'
import type { ConnectionTable } from './connection-table.ts'
import type { WordListener } from './word-listener.ts'

export interface MemberCommitParts {
  readonly self: string
  readonly clock: Clock
  readonly table: ConnectionTable
  readonly board: TakeoverBoard
  /** Longest wait for another member, ms. */
  readonly patience: number
  readonly keepsBundles: boolean
  readonly listener?: WordListener | undefined
  /** Whether a member was heard lately. */
  readonly isLive: (member: string) => boolean
}

/** Milliseconds after which a member says once more who it is. */
const repetition = 5_000
const mostFenced = 64

/** This member's part in output commit: it keeps the words of others, and waits for them. */
export class MemberCommit {
  readonly keeper: CommitKeeper
  readonly #parts: MemberCommitParts
  readonly #log: CommitLog
  readonly #words: CommitBoard
  /** Lives that this member has had fenced. */
  readonly #fenced: Life[] = []
  #timer: Timer | undefined

  constructor(parts: MemberCommitParts) {
    this.#parts = parts
    const { clock, table, board, patience, isLive, keepsBundles, listener } = parts
    this.#log = new CommitLog({ clock, patience, isLive })
    this.#words = new CommitBoard(table, clock, {
      onPresence: presence => this.#met(presence),
      onReceipt: ({ by, of, numbers }) => {
        if (of === this.#words.life) this.#log.received(by, numbers)
      },
      words: listener,
    })
    const [words, log] = [this.#words, this.#log]
    this.keeper = new CommitKeeper({ board, words, log, clock, keepsBundles })
  }

  /** What came of waits since start. */
  get counts(): Readonly<Record<CommitOutcome, number>> {
    return this.#log.counts
  }

  start(): void {
    this.#present(false)
  }

  /** What is known of the connections of a member, as the process that it is now. */
  of(member: string): LeftConnection[] {
    // Its addresses come one after the other, to several members: the first one to have it fenced
    // must not spoil what is known of the others.
    return this.#words.of(member, this.#log.lastLifeOf(member))
  }

  /** What stands at a place; `member`: of whose life it is, undefined where that does not matter. */
  at(owner: string, about: string, member: string | undefined): LeftConnection[] {
    const life = member === undefined ? undefined : this.#log.lastLifeOf(member)
    return this.#words.at(owner, about, life)
  }

  forget(member: string): void {
    this.#log.forget(member)
    this.#words.forget(member)
  }

  /** It can say nothing more to anybody. */
  fenced(member: string): void {
    const life = this.#log.lifeOf(member)
    if (life === undefined) return
    this.#fenced.push(life)
    if (this.#fenced.length > mostFenced) this.#fenced.shift()
    this.#log.gone(life)
    this.#present(false)
  }

  /**
   * This member was cut off, or taken for dead: others may have gone on without it, so it counts on
   * nothing that they told before.
   */
  distrust(): void {
    this.#words.renewLife()
    this.#present(false)
  }

  /** Nobody need wait for this member any more: it takes nothing over. */
  close(): void {
    this.#present(true)
    this.#timer?.cancel()
    this.#log.close()
  }

  #met({ member, life, fenced, isLeaving }: CommitPresence): void {
    if (fenced.includes(this.#words.life)) this.distrust()
    for (const each of fenced) this.#log.gone(each)
    if (isLeaving) {
      this.#log.gone(life)
      this.#log.forget(member)
      return
    }
    if (this.#log.lifeOf(member) === life) return
    this.#log.met(member, life)
    // Whoever has just come does not know this one either.
    this.#present(false)
  }

  #present(isLeaving: boolean): void {
    const { self, clock } = this.#parts
    this.#words.present({ member: self, fenced: this.#fenced, isLeaving })
    this.#timer?.cancel()
    if (!isLeaving) this.#timer = clock.after(repetition, () => this.#present(false))
  }
}
