import { type ClientHello, parseClientHello } from './client-hello.ts'

/**
 * Gathers a ClientHello from the first bytes of a connection, in whatever pieces they come
 * and over however many records (RFC 8446, 5.1):
 *
 *      0      1         3        5
 *      +------+---------+--------+------------------------------------+
 *      | 22   | version | length | fragment of handshake messages     |   record, repeated
 *      +------+---------+--------+------------------------------------+
 *                                | 1 | length u24 | ClientHello body   |   first message
 *
 * The bytes are kept untouched in `bytes`, for TLS to read after us.
 */
export class HelloReader {
  #bytes: Buffer = nothing
  #length = 0
  /** Where the record begins that is not yet complete. */
  #recordAt = 0
  #records = 0

  /** Everything pushed so far. */
  get bytes(): Buffer {
    const bytes = this.#bytes
    return bytes.length === this.#length ? bytes : bytes.subarray(0, this.#length)
  }

  /** Over how many records the hello was spread. */
  get records(): number {
    return this.#records
  }

  /**
   * Takes the next bytes. `more`: not there yet. `other`: this is no ClientHello that we can
   * read; let TLS deal with it.
   */
  push(chunk: Buffer): ClientHello | 'more' | 'other' {
    this.#append(chunk)
    for (;;) {
      const available = this.#length - this.#recordAt
      if (available > 0 && this.#bytes[this.#recordAt] !== handshakeRecord) return 'other'
      if (available > 1 && this.#bytes[this.#recordAt + 1] !== versionMajor)
        return 'other'
      if (available < recordHeader) return this.#moreOrTooMuch()
      const length = this.#bytes.readUInt16BE(this.#recordAt + 3)
      if (length === 0 || length > longestFragment) return 'other'
      if (available < recordHeader + length) return this.#moreOrTooMuch()
      this.#recordAt += recordHeader + length
      this.#records += 1
      const hello = this.#parse()
      if (hello !== 'more') return hello
    }
  }

  /** The hello, once the records so far hold all of it. */
  #parse(): ClientHello | 'more' | 'other' {
    // The usual single record is read where it is.
    if (this.#records === 1)
      return this.#parseIn(this.#bytes, recordHeader, this.#recordAt)
    const message = this.#joined()
    return this.#parseIn(message, 0, message.length)
  }

  #parseIn(all: Buffer, start: number, end: number): ClientHello | 'more' | 'other' {
    if (all[start] !== clientHelloMessage) return 'other'
    if (end - start < messageHeader) return 'more'
    const length = all.readUIntBE(start + 1, 3)
    if (length > longestHello) return 'other'
    const body = start + messageHeader
    if (end < body + length) return this.#moreOrTooMuch()
    return parseClientHello(all, body, body + length) ?? 'other'
  }

  /** Fragments of the complete records. */
  #joined(): Buffer {
    const fragments: Buffer[] = []
    for (let at = 0; at < this.#recordAt; ) {
      const end = at + recordHeader + this.#bytes.readUInt16BE(at + 3)
      fragments.push(this.#bytes.subarray(at + recordHeader, end))
      at = end
    }
    return Buffer.concat(fragments)
  }

  #moreOrTooMuch(): 'more' | 'other' {
    return this.#length > longestHello || this.#records > mostRecords ? 'other' : 'more'
  }

  /** Doubles its room, so that a hello in single bytes costs no more than its length. */
  #append(chunk: Buffer): void {
    if (this.#length === 0) {
      this.#bytes = chunk
      this.#length = chunk.length
      return
    }
    const length = this.#length + chunk.length
    if (length > this.#bytes.length) {
      const room = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, length, 512))
      this.#bytes.copy(room, 0, 0, this.#length)
      this.#bytes = room
    }
    chunk.copy(this.#bytes, this.#length)
    this.#length = length
  }
}

const nothing = Buffer.alloc(0)
const handshakeRecord = 22
const versionMajor = 3
const recordHeader = 5
const longestFragment = 16_384
const clientHelloMessage = 1
const messageHeader = 4
const longestHello = 65_536
/** A hello of 64 KiB in honest records is four; this leaves room for odd stacks. */
const mostRecords = 64
