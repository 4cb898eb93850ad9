import { existsSync } from 'node:fs'
import type { Clock, Timer } from '../../lib/clock.ts'
import { HandfastError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { ChangeQueue } from './change-queue.ts'
import {
  type Change,
  type Entry,
  maxKeyBytes,
  packChanges,
  rankLength,
  readStored,
  unpack,
} from './entry.ts'
import { dataIn, Folder } from './folder.ts'
import {
  type Figures,
  type OpenTerms,
  type Outcome,
  outcomes,
  type Range,
  schema,
} from './task.ts'
import { type DiskError, Thread } from './thread.ts'

export const leastBytes: number = 64 * 1024 * 1024
export const usualBytes: number = 1024 * 1024 * 1024

const mostReads = 4_096
/** For what waits when it is closed, ms. */
const patience = 10_000
/** Between two tries to come back, ms: the first, and the longest. */
const firstPause = 1_000
const longestPause = 30_000

export interface EnvironmentOptions {
  /** Is made where it is not there; for this user alone. */
  readonly folder: string
  /** All that the file may take. {@link leastBytes} at least, default {@link usualBytes}. */
  readonly maxBytes?: number | undefined
  /**
   * Whether a commit waits until it is on the disk. Default true. Without, it outlives the process
   * but not the machine: after that stopped, all that was written is put aside at the next start.
   */
  readonly fsync?: boolean | undefined
  /**
   * Whether a folder that is taken away while it is in use is made anew, and empty. Default false:
   * then calls reject until it is back.
   */
  readonly isMadeAnew?: boolean | undefined
  readonly clock: Clock
  readonly log: Log
}

export type EnvironmentState =
  | { readonly up: true }
  /** `reason` in words, without a value of anybody's. */
  | { readonly up: false; readonly reason: string }

export interface EnvironmentFigures extends Figures {
  readonly maxBytes: number
  /** Bytes of changes that wait for their commit. */
  readonly waiting: number
  readonly commits: number
}

/**
 * Entries in the order of their keys, on disk (LMDB: B+ tree, copy on write). Changes that come
 * together are one commit, on the disk when it resolves. It is whole whenever the process dies.
 * Where it nears `maxBytes`, entries that are not `kept` go, those first that end first.
 *
 * What the disk refuses (no room, an error) takes it down: calls reject from then on, and it
 * tries to come back by itself. So it does where another process holds the folder. What no time
 * mends rejects `open` with ERR_HANDFAST_CONFIG: a folder that others can look into, a newer
 * schema, and where the package lmdb is not there.
 */
export class Environment {
  readonly #options: EnvironmentOptions
  readonly #maxBytes: number
  readonly #changes = new ChangeQueue()
  readonly #listeners: ((state: EnvironmentState) => void)[] = []
  #folder: Folder | undefined
  #writer: Thread | undefined
  #reader: Thread | undefined
  #state: EnvironmentState = { up: false, reason: 'it has not been opened' }
  #figures: Figures = { entries: 0, bytes: 0, evicted: 0 }
  #reads = 0
  #commits = 0
  #committing: Promise<void> | undefined
  /** Since it was up. */
  #hasFailed = false
  /** The folder is not where it was. */
  #isAstray = false
  #pause = firstPause
  #timer: Timer | undefined
  #coming: Promise<void> | undefined
  #closed = false

  private constructor(options: EnvironmentOptions) {
    this.#options = options
    this.#maxBytes = Math.floor(options.maxBytes ?? usualBytes)
  }

  /** Resolves when it is up, or it is clear why not. */
  static async open(options: EnvironmentOptions): Promise<Environment> {
    const environment = new Environment(options)
    try {
      await environment.#start()
    } catch (error) {
      if (error instanceof HandfastError) throw error
      environment.#isDown(error as DiskError)
    }
    return environment
  }

  get state(): EnvironmentState {
    return this.#state
  }

  figures(): EnvironmentFigures {
    const { evicted, ...rest } = this.#figures
    return {
      ...rest,
      evicted,
      maxBytes: this.#maxBytes,
      waiting: this.#changes.bytes,
      commits: this.#commits,
    }
  }

  /** Is told when it goes down and when it is back. */
  onState(listener: (state: EnvironmentState) => void): void {
    this.#listeners.push(listener)
  }

  /** Undefined where there is none. Rejects when the disk can't tell. */
  async get(key: Buffer): Promise<Entry | undefined> {
    const stored = await this.#read<ArrayBuffer | undefined>(reader =>
      reader.do({ op: 'get', key: new Uint8Array(key) }),
    )
    return stored && readStored(Buffer.from(key), Buffer.from(stored))
  }

  /** Entries in the order of their keys; fewer than `limit` and `mostBytes` ask for at the end. */
  async scan(range: Range): Promise<Entry[]> {
    const { prefix, after, limit, mostBytes } = range
    const own = {
      prefix: new Uint8Array(prefix),
      after: after && new Uint8Array(after),
      limit,
      mostBytes,
    }
    const memory = await this.#read<ArrayBuffer>(reader =>
      reader.do({ op: 'scan', range: own }),
    )
    const entries: Entry[] = []
    for (const { key, stored } of unpack(memory)) {
      const entry = readStored(key, stored)
      if (entry !== undefined) entries.push(entry)
    }
    return entries
  }

  /**
   * Makes changes in their order, all of them in one commit, and resolves when it is on the disk
   * with what became of each. Their bytes are copied later: leave them alone until then. Rejects
   * when nothing was changed: the disk refuses, or too much is waiting.
   */
  write(changes: readonly Change[]): Promise<Outcome[]> {
    for (const change of changes) check(change)
    if (!this.#state.up || this.#closed) return Promise.reject(this.#unusable())
    const made = this.#changes.add(changes)
    this.#committing ??= this.#commit()
    return made
  }

  /** Removes entries that expired before `now`, `limit` at most; answers how many. */
  async sweep(now: number, limit: number): Promise<number> {
    if (!this.#state.up || this.#writer === undefined) throw this.#unusable()
    await this.#checkPlace()
    return await this.#guarded(this.#writer.do<number>({ op: 'sweep', now, limit }))
  }

  /** A file that was removed or moved takes all that it is given, and nobody finds it again. */
  async #checkPlace(): Promise<void> {
    const isInPlace = await this.#folder?.isInPlace()
    if (isInPlace !== false || !this.#state.up || this.#closed) return
    this.#isAstray = true
    this.#isDown(new Error('it was removed, moved or replaced while it was in use'))
    throw this.#unusable()
  }

  /** What waits is written first, where the disk takes it within 10 s. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#coming
    const wasUp = this.#state.up
    if (wasUp) await within(patience, this.#committing)
    this.#state = { up: false, reason: 'it is closed' }
    this.#changes.fail(this.#unusable())
    await this.#stop()
    const { fsync = true } = this.#options
    if (!fsync && wasUp) await this.#folder?.synced()
    await this.#folder?.release()
    this.#folder = undefined
  }

  async #start(): Promise<void> {
    const { folder, fsync = true, isMadeAnew = false, log } = this.#options
    if (this.#isAstray) {
      await this.#folder?.release()
      this.#folder = undefined
      if (!isMadeAnew && !existsSync(dataIn(folder)))
        throw new Error('it was removed while it was in use: put it back')
    }
    this.#folder ??= await Folder.hold(folder)
    try {
      await this.#folder.makeLockFile()
      // What is there can be read where there is room for nothing else.
      const isThere = await this.#folder.checkFile()
      if (!isThere || this.#hasFailed) await this.#folder.needRoom()
      if ((await this.#folder.checkSync(fsync)) === 'put aside') {
        log.warn(
          { folder },
          'the machine stopped before all was on the disk: starting anew',
        )
      }
      const terms = { path: this.#folder.data, maxBytes: this.#maxBytes, fsync }
      this.#writer = new Thread()
      this.#reader = new Thread()
      this.#figures = await this.#opened(this.#writer, { ...terms, readOnly: false })
      await this.#opened(this.#reader, { ...terms, readOnly: true })
      await this.#folder.noteOpened()
    } catch (error) {
      await this.#stop()
      if (error instanceof HandfastError) {
        await this.#folder.release()
        this.#folder = undefined
      }
      throw error
    }
    this.#pause = firstPause
    this.#hasFailed = false
    this.#isAstray = false
    this.#become({ up: true })
  }

  async #opened(thread: Thread, terms: OpenTerms): Promise<Figures> {
    try {
      return await thread.do<Figures>({ op: 'open', terms })
    } catch (error) {
      throw openError(this.#options.folder, error as DiskError)
    }
  }

  async #stop(): Promise<void> {
    const threads = [this.#reader, this.#writer]
    this.#reader = undefined
    this.#writer = undefined
    for (const thread of threads) await thread?.end()
  }

  async #commit(): Promise<void> {
    // What is written in the same turn goes along.
    await Promise.resolve()
    while (this.#changes.bytes > 0 && this.#writer !== undefined) {
      await this.#commitNext(this.#writer)
    }
    this.#committing = undefined
  }

  async #commitNext(writer: Thread): Promise<void> {
    const batch = this.#changes.next()
    const memory = packChanges(batch.changes)
    try {
      const { outcome, figures } = await this.#guarded(
        writer.do<{ outcome: Uint8Array; figures: Figures }>(
          { op: 'write', changes: memory },
          [memory],
        ),
      )
      this.#figures = figures
      this.#commits += 1
      batch.done(Array.from(outcome, code => words[code] ?? 'unchanged'))
    } catch (error) {
      batch.failed(error as Error)
    }
  }

  async #read<Result>(ask: (reader: Thread) => Promise<Result>): Promise<Result> {
    if (!this.#state.up || this.#reader === undefined) throw this.#unusable()
    if (this.#reads >= mostReads) throw new Error('more is read than the disk gives')
    this.#reads += 1
    try {
      return await this.#guarded(ask(this.#reader))
    } finally {
      this.#reads -= 1
    }
  }

  async #guarded<Result>(answer: Promise<Result>): Promise<Result> {
    try {
      return await answer
    } catch (error) {
      const cause = await this.#causeOf(error as DiskError)
      if (this.#state.up && !this.#closed) this.#isDown(cause)
      throw cause
    }
  }

  /** LMDB calls a full disk a fault. */
  async #causeOf(error: DiskError): Promise<DiskError> {
    try {
      await this.#folder?.needRoom()
      return error
    } catch (cause) {
      return cause as DiskError
    }
  }

  #isDown(error: DiskError): void {
    this.#hasFailed ||= this.#state.up
    this.#become({ up: false, reason: error.message })
    this.#changes.fail(this.#unusable())
    const stopped = this.#stop()
    this.#coming = stopped
    this.#timer = this.#options.clock.after(this.#pause, () => {
      this.#coming = this.#comeBack(stopped)
    })
    this.#pause = Math.min(longestPause, 2 * this.#pause)
  }

  async #comeBack(stopped: Promise<void>): Promise<void> {
    try {
      await stopped
      if (!this.#closed) await this.#start()
    } catch (error) {
      if (!this.#closed) this.#isDown(error as DiskError)
    }
  }

  #become(state: EnvironmentState): void {
    const isNews = state.up !== this.#state.up || !state.up
    this.#state = state
    if (isNews) for (const listener of this.#listeners) listener(state)
  }

  #unusable(): Error {
    const { folder } = this.#options
    const why = this.#state.up ? 'busy' : this.#state.reason
    return new Error(`${folder} can't be used now: ${why}`)
  }
}

/** For at most so many ms. */
async function within(ms: number, done: Promise<void> | undefined): Promise<void> {
  let late: NodeJS.Timeout | undefined
  await Promise.race([
    done,
    new Promise(resolve => {
      late = setTimeout(resolve, ms)
    }),
  ])
  clearTimeout(late)
}

const words = Object.keys(outcomes) as Outcome[]

function check(change: Change): void {
  const key = 'put' in change ? change.put.key : change.remove
  if (key.length < 1 || key.length > maxKeyBytes) {
    throw new RangeError(`key must have 1 to ${maxKeyBytes} bytes, got ${key.length}`)
  }
  for (const rank of ['put' in change && change.put.rank, change.when]) {
    if (Buffer.isBuffer(rank) && rank.length !== rankLength)
      throw new RangeError(`rank must have ${rankLength} bytes, got ${rank.length}`)
  }
}

/** What no other try will mend is an error of the configuration. */
function openError(folder: string, error: DiskError): Error {
  const { message, code } = error
  if (code === 'SCHEMA') {
    return new HandfastError(
      'ERR_HANDFAST_CONFIG',
      `${folder} was written by another version of handfast (${message}, this one has ${schema})`,
    )
  }
  if (code === 'ERR_MODULE_NOT_FOUND' || /native build|node-gyp-build/.test(message)) {
    return new HandfastError(
      'ERR_HANDFAST_CONFIG',
      `the disk tier needs the package lmdb, which can't be loaded: npm install lmdb (${message})`,
      { cause: error },
    )
  }
  return error
}
