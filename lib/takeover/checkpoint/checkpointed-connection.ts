import { randomBytes } from 'node:crypto'
import type { ConnectionState } from '../connection/connection-state.ts'
import { endOf } from '../plan/planned-response.ts'
import type { Bundle } from './bundles.ts'
import type {
  AskedRequest,
  BegunResponse,
  Checkpoint,
  Endpoint,
  Owed,
} from './checkpoint.ts'
import type { Due, Pace } from './pace.ts'

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
