/** Puts values behind each other. Numbers are big endian. */
export class ByteWriter {
  readonly #parts: Buffer[] = []

  u8(value: number): void {
    this.#parts.push(Buffer.from([value]))
  }

  /** An exact integer from 0 to 2^53 - 1, in 8 bytes. */
  count(value: number): void {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeBigUInt64BE(BigInt(value))
    this.#parts.push(bytes)
  }

  /** 0 for undefined, else 1 and the value. */
  maybe<T>(value: T | undefined, write: (value: T) => void): void {
    this.u8(value === undefined ? 0 : 1)
    if (value !== undefined) write(value)
  }

  /** Its length in 4 bytes, then the bytes. */
  bytes(value: Buffer): void {
    const length = Buffer.allocUnsafe(4)
    length.writeUInt32BE(value.length)
    this.#parts.push(length, value)
  }

  /** One byte for each character: what HTTP has in its fields. */
  latin1(value: string): void {
    this.bytes(Buffer.from(value, 'latin1'))
  }

  end(): Buffer {
    return Buffer.concat(this.#parts)
  }
}
