import { HandfastError } from '../../errors.ts'

/** Takes apart what ByteWriter made. Whatever else it is given it throws ERR_HANDFAST_PROTOCOL. */
export class ByteReader {
  readonly #source: Buffer
  #at = 0

  constructor(source: Buffer) {
    this.#source = source
  }

  u8(): number {
    return this.#take(1)[0] as number
  }

  flag(): boolean {
    const value = this.u8()
    if (value > 1) throw malformed('a flag is neither 0 nor 1')
    return value === 1
  }

  count(): number {
    const value = Number(this.#take(8).readBigUInt64BE())
    if (!Number.isSafeInteger(value)) throw malformed('a number is too large')
    return value
  }

  maybe<T>(read: () => T): T | undefined {
    return this.flag() ? read() : undefined
  }

  /** A copy of at most `most` bytes. */
  bytes(most: number): Buffer {
    const length = this.#take(4).readUInt32BE()
    if (length > most) throw malformed('a part is too long')
    return Buffer.from(this.#take(length))
  }

  latin1(most: number): string {
    return this.bytes(most).toString('latin1')
  }

  /** Nothing follows. */
  get isOver(): boolean {
    return this.#at === this.#source.length
  }

  end(): void {
    if (!this.isOver) throw malformed('something follows its end')
  }

  #take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#source.length) throw malformed('it is too short')
    const taken = this.#source.subarray(this.#at, end)
    this.#at = end
    return taken
  }
}

export function malformed(why: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_PROTOCOL', `not a checkpoint: ${why}`)
}
