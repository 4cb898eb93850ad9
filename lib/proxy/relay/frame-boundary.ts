/**
 * Where frames of WebSocket end in a stream of bytes (RFC 6455 5.2). Nothing of them is changed
 * or judged: it is only to be known where one more frame would not fall into another.
 *
 *     byte 0   FIN, three reserved bits, opcode (4 bits)
 *     byte 1   MASK, length (7 bits); 126: 16 bits of length follow; 127: 64 bits
 *              then 4 bytes of masking key if MASK, then the payload
 */
export class FrameBoundary {
  /** What has come of a header that is not there in full. */
  #header: number[] = []
  /** Bytes of a payload that are yet to come. */
  #left = 0
  #lost = false
  #closing = false

  /** The next bytes of the stream. */
  take(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && !this.#lost) {
      if (this.#left > 0) {
        const passed = Math.min(this.#left, chunk.length - at)
        this.#left -= passed
        at += passed
      } else this.#readHeader(chunk[at++] as number)
    }
  }

  /** What has come ends with a frame, and more frames may follow. */
  get isBetween(): boolean {
    return !this.#lost && !this.#closing && this.#left === 0 && this.#header.length === 0
  }

  #readHeader(byte: number): void {
    const header = this.#header
    header.push(byte)
    const [first = 0, second = 0] = header
    if (header.length < 2) return
    const said = second & 0x7f
    const lengthBytes = said === 126 ? 2 : said === 127 ? 8 : 0
    const masked = (second & 0x80) !== 0
    if (header.length < 2 + lengthBytes + (masked ? 4 : 0)) return
    let length = lengthBytes === 0 ? said : 0
    for (let i = 2; i < 2 + lengthBytes; i++) length = length * 256 + (header[i] ?? 0)
    // What can't be counted is nobody's frame.
    if (!Number.isSafeInteger(length)) this.#lost = true
    // RFC 6455 5.5.1: after a close frame nothing may follow.
    if ((first & 0x0f) === closeOpcode) this.#closing = true
    this.#left = length
    this.#header = []
  }
}

const closeOpcode = 0x8

/** 1001: who sends it leaves. 1012: what it serves has ended, and may be back. */
export type CloseCode = 1001 | 1012

/** A close frame of a server: it is not masked (RFC 6455 5.1). */
export function closeFrame(code: CloseCode): Buffer {
  return Buffer.from([0x80 | closeOpcode, 2, code >> 8, code & 0xff])
}
