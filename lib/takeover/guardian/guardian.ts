import { Shares } from '../../limit/shares.ts'

/** A duplicate of a socket: as long as it is open, so is the connection. */
export interface SocketHandle {
  close(): void
}

export interface GuardianOptions {
  /** Connections that are held at a time; each costs a file descriptor. */
  readonly maxConnections: number
  /** Bytes of checkpoints at a time. */
  readonly maxBytes: number
  /** What one client may have of both, above 0 to 1. */
  readonly share: number
}

/** A connection that outlives the worker that serves it. */
export interface HeldConnection<Handle extends SocketHandle> {
  readonly id: string
  readonly handle: Handle
  /** The last that the worker has written. */
  readonly checkpoint: Buffer
}

interface Held<Handle extends SocketHandle> extends HeldConnection<Handle> {
  checkpoint: Buffer
  worker: number
  /** Times that it was given on since its last checkpoint. */
  moves: number
  /** Network of the client; undefined for what stands for many. */
  readonly network: string | undefined
}

/** Bytes are counted in pieces of this size. */
const piece = 1_024
const mostMoves = 5

/**
 * What the supervisor has of the workers' connections: a duplicate of each socket, and the last
 * checkpoint of it. It never reads or writes a byte of them. Who has no room in it is served as
 * without; its connection ends with its worker.
 */
export class Guardian<Handle extends SocketHandle> {
  readonly #held = new Map<string, Held<Handle>>()
  readonly #connections: Shares
  readonly #pieces: Shares
  #turnedAway = 0
  #closed = false

  constructor({ maxConnections, maxBytes, share }: GuardianOptions) {
    this.#connections = new Shares({ most: maxConnections, share })
    this.#pieces = new Shares({ most: Math.floor(maxBytes / piece), share })
  }

  get size(): number {
    return this.#held.size
  }

  /** Bytes of checkpoints, in whole pieces. */
  get bytes(): number {
    return this.#pieces.used * piece
  }

  /** Connections that found no room. */
  get turnedAway(): number {
    return this.#turnedAway
  }

  /** The first checkpoint of a connection. False: there is no room, and the handle is closed. */
  hold(
    worker: number,
    id: string,
    network: string | undefined,
    checkpoint: Buffer,
    handle: Handle,
  ): boolean {
    const known = this.#held.has(id)
    if (this.#closed || known || !this.#take(network, checkpoint)) {
      if (!known && !this.#closed) this.#turnedAway++
      handle.close()
      return false
    }
    this.#held.set(id, { id, handle, checkpoint, worker, moves: 0, network })
    return true
  }

  /** A later one; of connections that are not the worker's none counts. */
  update(worker: number, id: string, checkpoint: Buffer): void {
    const held = this.#held.get(id)
    if (held?.worker !== worker) return
    this.#release(held)
    if (this.#take(held.network, checkpoint))
      Object.assign(held, { checkpoint, moves: 0 })
    else this.#drop(held)
  }

  /** The worker has closed it. */
  retire(worker: number, id: string): void {
    const held = this.#held.get(id)
    if (held?.worker !== worker) return
    this.#release(held)
    this.#drop(held)
  }

  /** Those of a worker. */
  of(worker: number): HeldConnection<Handle>[] {
    const all = [...this.#held.values()].filter(held => held.worker === worker)
    return all.map(({ id, handle, checkpoint }) => ({ id, handle, checkpoint }))
  }

  /**
   * It is another worker's from now on. False: it is not there any more. One that goes from hand to
   * hand without ever being written down anew may be what they die of, and is let go.
   */
  give(id: string, worker: number): boolean {
    const held = this.#held.get(id)
    if (held === undefined) return false
    if (held.moves >= mostMoves) {
      this.#release(held)
      this.#drop(held)
      return false
    }
    held.worker = worker
    held.moves++
    return true
  }

  close(): void {
    this.#closed = true
    for (const { handle } of this.#held.values()) handle.close()
    this.#held.clear()
  }

  /** Room for both, or for none. */
  #take(network: string | undefined, checkpoint: Buffer): boolean {
    if (!this.#connections.take(network)) return false
    const pieces = piecesOf(checkpoint)
    for (let taken = 0; taken < pieces; taken++) {
      if (this.#pieces.take(network)) continue
      for (; taken > 0; taken--) this.#pieces.release(network)
      this.#connections.release(network)
      return false
    }
    return true
  }

  #release({ network, checkpoint }: Held<Handle>): void {
    this.#connections.release(network)
    for (let i = piecesOf(checkpoint); i > 0; i--) this.#pieces.release(network)
  }

  #drop({ id, handle }: Held<Handle>): void {
    this.#held.delete(id)
    handle.close()
  }
}

function piecesOf(checkpoint: Buffer): number {
  return Math.ceil(checkpoint.length / piece)
}
