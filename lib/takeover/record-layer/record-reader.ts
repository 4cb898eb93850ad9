import { RecordFault } from './alert.ts'
import { contentType, headerBytes, longestSealed, tagBytes, typeBytes } from './layout.ts'

/** Throws at the header of a record that may not be. */
export type HeaderCheck = (type: number, length: number) => void

/**
 * Cuts what comes from a peer into records. Holds what it is given until that is taken: how much
 * it may be is up to who gives it.
 */
export class RecordReader {
  readonly #check: HeaderCheck
  #chunks: Buffer[] = []
  #length = 0

  constructor(check: HeaderCheck = checkSealed) {
    this.#check = check
  }

  /** Bytes that were given and not yet taken. */
  get held(): number {
    return this.#length
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#length += chunk.length
    // A record may come in bytes: then many chunks would be looked at over and over.
    if (this.#chunks.length > mostChunks) this.#chunks = [Buffer.concat(this.#chunks)]
  }

  /** The next record with its header, when it is all here. */
  next(): Buffer | undefined {
    if (this.#length < headerBytes) return undefined
    const header = this.#first(headerBytes)
    const length = header.readUInt16BE(3)
    this.#check(header[0] as number, length)
    if (this.#length < headerBytes + length) return undefined
    return this.take(headerBytes + length)
  }

  /** The first bytes, of which there are so many; all of them, unless said. */
  take(length: number = this.#length): Buffer {
    const [first = nothing] = this.#chunks
    this.#length -= length
    if (first.length > length) {
      this.#chunks[0] = first.subarray(length)
      return first.subarray(0, length)
    }
    const all = this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks)
    this.#chunks = all.length > length ? [all.subarray(length)] : []
    return all.subarray(0, length)
  }

  #first(length: number): Buffer {
    const [first = nothing] = this.#chunks
    if (first.length >= length) return first
    this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] as Buffer
  }
}

/** Behind the handshake there are only sealed records. */
function checkSealed(type: number, length: number): void {
  if (type !== contentType.applicationData) {
    // A change_cipher_spec is allowed before the Finished only (RFC 8446 5).
    throw new RecordFault('unexpected_message', `a record of type ${type} in clear`)
  }
  if (length > longestSealed) {
    throw new RecordFault('record_overflow', `a record of ${length} bytes`)
  }
  if (length < typeBytes + tagBytes) {
    throw new RecordFault('bad_record_mac', `a record of ${length} bytes`)
  }
}

const mostChunks = 64
const nothing = Buffer.alloc(0)
