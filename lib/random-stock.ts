import { randomFillSync } from 'node:crypto'

/** In one go: to draw 4 KiB takes hardly longer than to draw 16 bytes. */
const stock = 256

/** Random bytes of one length, drawn many at a time. */
export class RandomStock {
  readonly #length: number
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0

  constructor(length: number) {
    this.#length = length
  }

  /** The bytes are the caller's for good. */
  draw(): Buffer {
    if (this.#at >= this.#bytes.length) {
      this.#bytes = randomFillSync(Buffer.allocUnsafeSlow(stock * this.#length))
      this.#at = 0
    }
    const from = this.#at
    this.#at += this.#length
    return this.#bytes.subarray(from, this.#at)
  }
}
