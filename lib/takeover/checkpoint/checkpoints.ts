import { randomBytes } from 'node:crypto'
import type { Clock, Timer } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { ConnectionState } from '../connection/connection-state.ts'
import { endOf } from '../plan/planned-response.ts'
import { type Bundle, Bundles, recordBundle } from './bundles.ts'
import type {
  AskedRequest,
  BegunResponse,
  Checkpoint,
  Endpoint,
  Owed,
} from './checkpoint.ts'
import { encodeCheckpoint } from './codec.ts'
import { type Due, Pace, type PaceOptions, usualPace } from './pace.ts'

/** A connection that can be written down; see ProtectedConnection. */
export interface Recordable {
  readonly position: number
  readonly readPosition: number
  state(): ConnectionState
}

/** What its kernel tells of it: bytes that the client has acknowledged since accept. */
export interface Acknowledged {
  /** Undefined when the connection is closing. */
  acked(): number | undefined
}

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

export interface OpenedConnection<Socket> {
  readonly connection: Recordable & Acknowledged
  /** For the keeper, which may need more of it than a checkpoint. */
  readonly socket: Socket
  readonly local: Endpoint
  readonly remote: Endpoint
  /** Of its TLS session. Undefined: it goes alone, see Bundles. */
  readonly lineage?: Buffer | undefined
  /** Network that the connection counts for; undefined for one that speaks for many clients. */
  readonly network: string | undefined
  /** See Checkpoint. Undefined: the connection is not meant for other hosts. */
  readonly kernel?: Buffer | undefined
  /** That it had in the process before this one, whose checkpoint is kept. */
  readonly id?: Buffer | undefined
}

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

/** A connection with what its client waits for. */
export class CheckpointedConnection<Socket> {
  readonly id: Buffer
  readonly opened: OpenedConnection<Socket>
  /** Undefined: it goes alone. */
  readonly bundle: Bundle<CheckpointedConnection<Socket>> | undefined
  readonly #pace: Pace
  readonly #watch: () => void
  #owed: Owed | undefined
  /** Where in what the client says its last request ends, as far as is known. */
  #read: number
  #isAhead: () => boolean = () => false
  /** The response is not one that could be made again. */
  #unplanned = false
  /** Something is being said that is in no plan, be it of a response or not. */
  #speaks = false
  /** It has been given to the transport in full, and the client may lack a part of it. */
  #answered = false
  #written: boolean
  /** Since its last change. */
  #isKept = false
  #acked = 0
  #size = 0
  #ended = false

  constructor(
    opened: OpenedConnection<Socket>,
    pace: Pace,
    watch: () => void,
    bundle?: Bundle<CheckpointedConnection<Socket>>,
  ) {
    this.id = opened.id ?? randomBytes(16)
    this.#written = opened.id !== undefined
    this.opened = opened
    this.bundle = bundle
    this.#read = opened.connection.readPosition
    this.#pace = pace
    this.#watch = watch
  }

  get owed(): Owed | undefined {
    return this.#owed
  }

  /** As far as it was last asked for. */
  get acked(): number {
    return this.#acked
  }

  /** Something of it has been written down. */
  get isWritten(): boolean {
    return this.#written
  }

  /** Bytes of the last checkpoint that this process has written. */
  get size(): number {
    return this.#size
  }

  /** What was written down last is what stands. */
  get isCurrent(): boolean {
    const isSpeaking = this.#unplanned || this.#speaks
    return this.#isKept && this.#pace.isWritten && !isSpeaking
  }

  /** A request has its turn. `isAhead`: whether the client has sent others meanwhile. */
  asked(request: AskedRequest, isAhead: () => boolean, now: number): void {
    this.#owed = { request, response: undefined }
    this.#isAhead = isAhead
    this.#read = this.opened.connection.readPosition
    this.#unplanned = false
    this.#speaks = false
    this.#answered = false
    this.changed(now)
  }

  /** Its answer has begun. Undefined: one that can't be made again, as far as is known. */
  began(response: BegunResponse | undefined, now: number): void {
    if (this.#owed === undefined) return
    if (response === undefined) {
      this.#unplanned = true
      return
    }
    this.#unplanned = false
    this.#speaks = false
    this.#owed = { ...this.#owed, response }
    this.changed(now)
  }

  /** What is said from now on is in no checkpoint. */
  speaks(): void {
    this.#speaks = true
  }

  /** No more of that, unless it is part of a response. */
  spoke(now: number): void {
    this.#speaks = false
    this.changed(now)
  }

  /** The answer goes on where another process has left it. `read`: as its checkpoint has it. */
  resumed(owed: Owed, read: number, now: number): void {
    this.#owed = owed
    this.#read = read
    this.changed(now)
  }

  /** The answer has been given to the transport in full. */
  answered(now: number): void {
    this.#answered = true
    this.#unplanned = false
    this.#speaks = false
    // Its end was not known before. What is already there of the next request is little.
    if (this.#owed?.request.hasBody) this.#read = this.opened.connection.readPosition
    if (this.#owed?.response !== undefined) {
      this.#watch()
      return
    }
    this.#owed = undefined
    this.changed(now)
  }

  changed(now: number): void {
    if (this.#ended) return
    this.#isKept = false
    this.#pace.changed(this.#owed !== undefined, now)
    this.#watch()
  }

  /** `rest`: nothing is, until something changes. */
  due(now: number, progress: boolean): Due | 'rest' | undefined {
    if (this.#owed?.response !== undefined && (progress || this.#answered)) {
      this.#acked = this.opened.connection.acked() ?? this.#acked
      if (this.#answered && this.#acked >= endOf(this.#owed.response.planned)) {
        // Not before: what was handed to the kernel can still be lost with its host.
        this.#owed = undefined
        this.#pace.changed(false, now)
      }
    }
    const due = this.#pace.due(this.#acked, now)
    if (due === 'checkpoint' || (due === 'progress' && progress)) return due
    const waits = this.#owed !== undefined && (progress || this.#answered)
    return this.#pace.isWritten && !waits ? 'rest' : undefined
  }

  /** As it stands. Undefined while nobody else could go on with it. */
  checkpoint(at: number): Checkpoint | undefined {
    // What was sent ahead is lost with its process, and its client would wait for ever.
    const isSpeaking = this.#unplanned || this.#speaks
    if (this.#ended || isSpeaking || this.#isAhead()) return undefined
    return { ...this.remains(at), owed: this.#owed }
  }

  /** Whose it is, and how far under which keys; what its client waits for is not in it. */
  remains(at: number): Checkpoint {
    return { ...this.outline(at), transport: this.opened.connection.state() }
  }

  /** Whose it is and how far, to end it where it can't be gone on with. */
  outline(at: number): Checkpoint {
    const { connection, local, remote, kernel = none } = this.opened
    return {
      id: this.id,
      bundle: this.bundle?.id,
      at,
      local,
      remote,
      transport: { kind: 'plain' },
      position: connection.position,
      readPosition: this.#read,
      owed: undefined,
      kernel,
    }
  }

  /** `size`: bytes of what was written down; undefined: nothing was. */
  told(now: number, size: number | undefined): void {
    this.#written ||= size !== undefined
    this.#isKept ||= size !== undefined
    this.#size = size ?? this.#size
    this.#pace.told(this.#acked, now)
  }

  /** Whether there is something to be retired. */
  end(): boolean {
    const was = this.#written && !this.#ended
    this.#ended = true
    this.#owed = undefined
    return was
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
