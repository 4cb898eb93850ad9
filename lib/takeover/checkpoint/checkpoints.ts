import type { Clock, Timer } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import { Bundles, recordBundle } from './bundles.ts'
import type { CheckpointKeeper } from './checkpoint-keeper.ts'
import {
  CheckpointedConnection,
  type OpenedConnection,
} from './checkpointed-connection.ts'
import { encodeCheckpoint } from './codec.ts'
import { Pace, type PaceOptions, usualPace } from './pace.ts'

export interface CheckpointCounts {
  readonly connections: number
  readonly answers: number
}

/** Milliseconds between two looks at what is due. */
const period = 25

/**
 * Writes connections down at the pace of each: what is due is looked for now and then, so that
 * a short request costs no more than a note that it was there.
 */
export class Checkpoints<Socket> {
  readonly #keeper: CheckpointKeeper<Socket>
  readonly #clock: Clock
  readonly #pace: PaceOptions
  /** Of which something may be due. */
  readonly #watched = new Set<CheckpointedConnection<Socket>>()
  readonly #open = new Set<CheckpointedConnection<Socket>>()
  readonly #bundles = new Bundles<CheckpointedConnection<Socket>>()
  #timer: Timer | undefined
  #closed = false

  constructor(
    keeper: CheckpointKeeper<Socket>,
    clock: Clock,
    pace: PaceOptions = usualPace,
  ) {
    this.#keeper = keeper
    this.#clock = clock
    this.#pace = pace
  }

  /** Those that others could go on with as they are now, and those of them that are in an answer. */
  counts(): CheckpointCounts {
    const all = [...this.#open]
    return {
      connections: all.filter(({ isCurrent }) => isCurrent).length,
      answers: all.filter(({ isCurrent, owed }) => isCurrent && owed?.response).length,
    }
  }

  open(opened: OpenedConnection<Socket>): CheckpointedConnection<Socket> {
    const now = this.#clock.monotonic()
    const bundle = this.#bundles.of(opened.lineage)
    const watch = () => {
      if (this.#closed) return
      this.#watched.add(one)
      this.#timer ??= this.#clock.after(period, () => this.#look())
    }
    const pace = new Pace(now, this.#pace)
    const one = new CheckpointedConnection(opened, pace, watch, bundle)
    if (bundle !== undefined) this.#bundles.add(bundle, one)
    this.#open.add(one)
    one.changed(now)
    return one
  }

  /** The open ones. */
  all(): readonly CheckpointedConnection<Socket>[] {
    return [...this.#open]
  }

  /**
   * Somebody else goes on with it, from whom it has to be kept that this process still does: it is
   * written down, then closed here, then given. What is written until it is closed counts. False:
   * it can't be given now. One that has grown is not: there may be no room for it.
   */
  give(
    one: CheckpointedConnection<Socket>,
    close: (closed: () => void) => void,
  ): boolean {
    const bytes = this.#bytesOf(one)
    if (bytes === undefined || bytes.length > one.size) return false
    const closeIt = () => close(() => this.#keeper.give(one))
    if (!this.#keeper.write(one, bytes, closeIt)) return false
    this.#forget(one)
    one.end()
    return true
  }

  /**
   * The answer that is about to begin is written down first, where that is wanted. Rejects when it
   * must not be said; the connection is of no use any more then.
   */
  commit(one: CheckpointedConnection<Socket>): Promise<void> | undefined {
    const { output } = this.#keeper
    if (output === undefined) return undefined
    const bytes = this.#bytesOf(one)
    if (bytes === undefined) return this.suspend(one)
    one.told(this.#clock.monotonic(), bytes.length)
    return sayable(output.commit(one, bytes))
  }

  /** What is about to be said is in no plan. As `commit`. */
  suspend(one: CheckpointedConnection<Socket>): Promise<void> | undefined {
    const { output } = this.#keeper
    if (output === undefined) return undefined
    one.speaks()
    if (!one.isWritten) return undefined
    // An outline is never too long.
    const bytes = encodeCheckpoint(one.outline(this.#clock.now())) ?? none
    return sayable(output.suspend(one, bytes))
  }

  /**
   * It stands still, and is to go on elsewhere: nobody is to go on from what was written of it. False:
   * somebody could. Undefined where that can't be known.
   */
  recall(one: CheckpointedConnection<Socket>): Promise<boolean> | undefined {
    const { output } = this.#keeper
    if (output === undefined) return undefined
    const bytes = encodeCheckpoint(one.outline(this.#clock.now())) ?? none
    const settled = one.isWritten ? output.suspend(one, bytes) : undefined
    return settled ?? Promise.resolve(true)
  }

  /** What was said outside of an answer is out. */
  settled(one: CheckpointedConnection<Socket>): void {
    one.spoke(this.#clock.monotonic())
  }

  /** The connection is over. */
  end(one: CheckpointedConnection<Socket>): void {
    this.#forget(one)
    if (!one.end()) return
    this.#keeper.retire(one)
  }

  /** Writes down at once what has changed. */
  flush(): void {
    const now = this.#clock.monotonic()
    for (const one of this.#watched) this.#write(one, now)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#watched.clear()
  }

  #forget(one: CheckpointedConnection<Socket>): void {
    this.#watched.delete(one)
    this.#open.delete(one)
    if (one.bundle !== undefined) this.#bundles.remove(one.bundle, one)
  }

  #look(): void {
    this.#timer = undefined
    const now = this.#clock.monotonic()
    for (const one of this.#watched) {
      const due = one.due(now, this.#keeper.wantsProgress)
      if (due === 'rest') this.#watched.delete(one)
      else if (due === 'checkpoint') this.#write(one, now)
      else if (due === 'progress') this.#progress(one, now)
    }
    if (this.#watched.size === 0 || this.#closed) return
    this.#timer = this.#clock.after(period, () => this.#look())
  }

  #write(one: CheckpointedConnection<Socket>, now: number): void {
    const bytes = this.#bytesOf(one)
    // What can't be written down stays as it was told of, which its positions give away.
    if (bytes === undefined || this.#keeper.write(one, bytes)) {
      one.told(now, bytes?.length)
    }
  }

  /** Undefined while nobody else could go on with it, and when it is too long to be kept. */
  #bytesOf(one: CheckpointedConnection<Socket>): Buffer | undefined {
    const checkpoint = one.checkpoint(this.#clock.now())
    const bytes = checkpoint && encodeCheckpoint(checkpoint)
    const bundle = recordBundle(this.#keeper, one)
    return (bytes?.length ?? 0) <= (bundle?.roomFor(one) ?? Infinity) ? bytes : undefined
  }

  #progress(one: CheckpointedConnection<Socket>, now: number): void {
    this.#keeper.progress(one, one.acked)
    one.told(now, undefined)
  }
}

const none = Buffer.alloc(0)

function sayable(settled: Promise<boolean> | undefined): Promise<void> | undefined {
  return settled?.then(isSayable => {
    if (isSayable) return
    const text = 'others could go on with the connection from before this'
    throw new HandfastError('ERR_HANDFAST_CLOSED', text)
  })
}
