/**
 * Memory for sealed records on their way to the transport. To get it afresh from the system for
 * each write costs as much as to fill it with records: what is sent is given back, and used again.
 */
export class SealedBuffers {
  readonly #free: Buffer[] = []

  /** So many bytes with anything in them, or fewer: four full records find room at least. */
  take(length: number): Buffer {
    if (length <= smallBytes) return Buffer.allocUnsafe(length)
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(bufferBytes)
  }

  /** All of what `take` gave: nobody reads it any more. */
  give(buffer: Buffer): void {
    if (buffer.length !== bufferBytes || this.#free.length >= mostFree) return
    this.#free.push(buffer)
  }
}

/** A read of 64 KiB, sealed. */
const bufferBytes = 66_000
/** For so little the usual memory does. */
const smallBytes = 2_048
/** 4 MB. */
const mostFree = 64
