import { idLength } from '../../checkpoint/id.ts'

const progressLength = idLength + 8
const mostProgress = 2_000

/** How far a client has come. */
export interface Progress {
  /** Of the connection, hexadecimal. */
  readonly id: string
  /** Bytes that it has acknowledged since accept. */
  readonly acked: number
}

/** For each connection: id 16 B | bytes that the client has acknowledged u64. The last ones. */
export function progressBytes(acked: ReadonlyMap<string, number>): Buffer {
  const newest = [...acked].slice(-mostProgress)
  const bytes = Buffer.alloc(newest.length * progressLength)
  for (const [index, [id, position]] of newest.entries()) {
    bytes.write(id, index * progressLength, 'hex')
    bytes.writeBigUInt64BE(BigInt(position), index * progressLength + idLength)
  }
  return bytes
}

export function readProgress(bytes: Buffer | undefined): Progress[] {
  const all: Progress[] = []
  if (bytes === undefined) return all
  for (let at = 0; at + progressLength <= bytes.length; at += progressLength) {
    const acked = Number(bytes.readBigUInt64BE(at + idLength))
    if (!Number.isSafeInteger(acked)) continue
    all.push({ id: bytes.toString('hex', at, at + idLength), acked })
  }
  return all
}

/** Of this member's connections in long answers, until it is told. */
export class ProgressBook {
  readonly #board: ProgressTeller
  readonly #acked = new Map<string, number>()
  #isTold = true

  constructor(board: ProgressTeller) {
    this.#board = board
  }

  note(id: string, acked: number): void {
    this.#acked.set(id, acked)
    this.#isTold = false
  }

  forget(id: string): void {
    this.#acked.delete(id)
  }

  /** Tells of all at once. */
  flush(): void {
    if (this.#isTold) return
    this.#isTold = true
    this.#board.progress(this.#acked)
  }
}

export interface ProgressTeller {
  progress(acked: ReadonlyMap<string, number>): void
}
