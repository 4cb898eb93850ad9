import { HandfastError } from '../errors.ts'
import { type CacheRecord, readRecord, recordLength } from '../record/record.ts'

const maxUint48 = 2 ** 48 - 1

/** Reads the fields of a frame's body; every read past its end is a protocol error. */
export class ByteReader {
  readonly #bytes: Buffer
  #offset = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#offset
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#advance(1))
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#advance(2))
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#advance(4))
  }

  uint48(): number {
    return this.#bytes.readUIntBE(this.#advance(6), 6)
  }

  /** A view of the next bytes, whose length stands before them in one byte. */
  bytes8(): Buffer {
    return this.bytes(this.uint8())
  }

  /** A view of the next bytes, as many as asked. */
  bytes(length: number): Buffer {
    const start = this.#advance(length)
    return this.#bytes.subarray(start, start + length)
  }

  /** Text up to 255 bytes of the given form; everything that is shown or logged goes here. */
  text8(form: RegExp): string {
    const text = this.bytes8().toString('latin1')
    if (!form.test(text)) throw malformed('text of a form that is not allowed')
    return text
  }

  /** A record; its key and value are views. */
  record(): CacheRecord {
    const record = readRecord(this.#bytes, this.#offset)
    this.#advance(recordLength(record))
    return record
  }

  /** Call when the body should be used up: what is left over is an error. */
  end(): void {
    if (this.left > 0) throw malformed(`${this.left} bytes too many`)
  }

  #advance(length: number): number {
    const start = this.#offset
    if (this.#bytes.length - start < length) throw malformed('cut short')
    this.#offset += length
    return start
  }
}

/** Puts a body together. Grows as needed. */
export class ByteWriter {
  #bytes: Buffer = Buffer.allocUnsafe(256)
  #length = 0

  uint8(value: number): this {
    const at = this.#grow(1)
    this.#bytes.writeUInt8(value, at)
    return this
  }

  uint16(value: number): this {
    const at = this.#grow(2)
    this.#bytes.writeUInt16BE(value, at)
    return this
  }

  uint32(value: number): this {
    const at = this.#grow(4)
    this.#bytes.writeUInt32BE(value, at)
    return this
  }

  uint48(value: number): this {
    if (value > maxUint48) throw new RangeError(`${value} does not fit into 48 bits`)
    const at = this.#grow(6)
    this.#bytes.writeUIntBE(value, at, 6)
    return this
  }

  bytes8(value: Uint8Array): this {
    this.uint8(value.length)
    const at = this.#grow(value.length)
    this.#bytes.set(value, at)
    return this
  }

  text8(value: string): this {
    return this.bytes8(Buffer.from(value, 'latin1'))
  }

  bytes(value: Uint8Array): this {
    const at = this.#grow(value.length)
    this.#bytes.set(value, at)
    return this
  }

  /** The bytes written; the writer must not be used after. */
  done(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #grow(length: number): number {
    const at = this.#length
    if (at + length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, at + length))
      this.#bytes.copy(larger, 0, 0, at)
      this.#bytes = larger
    }
    this.#length += length
    return at
  }
}

export function malformed(what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_PROTOCOL', `malformed frame: ${what}`)
}
