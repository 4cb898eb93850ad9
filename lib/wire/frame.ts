import { HandfastError } from '../errors.ts'

/**
 * Frames are what members send each other on a stream:
 *
 *      0                 4        5
 *      +-----------------+--------+------------------+
 *      | length          | type   | body             |   all numbers big-endian
 *      | u32             | u8     | `length` bytes   |
 *      +-----------------+--------+------------------+
 */
export const frameHeaderLength = 5
export const maxFrameBody: number = 1024 * 1024
export const maxMessageLength: number = 256 * 1024

/** What a frame says. Numbers are on the wire: never reuse one; 3 to 6, 11 to 15, 19, 21 were. */
export const frameTypes = {
  /** Dialler to acceptor: who I am. The first frame of a link. */
  hello: 1,
  /** Acceptor to dialler: who I am. The answer to `hello`. */
  welcome: 2,
  /** Either: I am here. Sent when nothing else was. */
  ping: 7,
  /** Either: I am joining / ready. */
  state: 8,
  /** Dialler: have you this record? */
  get: 9,
  answer: 10,
  /** Either: I am going. */
  leave: 16,
  /** Acceptor: I do not talk to you, and why; where it is the clock, also who I am. */
  refused: 17,
  /** Either: what the engines of two members say to each other; see control-message.ts. */
  message: 18,
  /** Either, the dialler before its hello too: what my clocks say. */
  time: 20,
} as const

export type FrameType = (typeof frameTypes)[keyof typeof frameTypes]

export interface Frame {
  readonly type: number
  /** A view of the bytes that were read; good until the reader is given more. */
  readonly body: Buffer
}

/** A frame with its body, in one piece. */
export function writeFrame(type: FrameType, body: Buffer): Buffer {
  checkBody(body.length)
  const frame = Buffer.allocUnsafe(frameHeaderLength + body.length)
  writeFrameHeader(frame, type, body.length)
  body.copy(frame, frameHeaderLength)
  return frame
}

/** The header alone, for a long body that is sent behind it as it is. */
export function frameHeader(type: FrameType, length: number): Buffer {
  checkBody(length)
  const header = Buffer.allocUnsafe(frameHeaderLength)
  writeFrameHeader(header, type, length)
  return header
}

/** `length`: of the body, which follows. */
export function writeFrameHeader(into: Buffer, type: number, length: number): void {
  into.writeUInt32BE(length, 0)
  into[4] = type
}

/** The body of `message` is the message. */
export function readMessage(body: Buffer): Buffer {
  if (body.length <= maxMessageLength) return body
  throw new HandfastError(
    'ERR_HANDFAST_PROTOCOL',
    `message of ${body.length} bytes, at most ${maxMessageLength} are allowed`,
  )
}

export function notAllowed(type: number): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_PROTOCOL',
    `frame of type ${type} not allowed here`,
  )
}

function checkBody(length: number): void {
  if (length <= maxFrameBody) return
  throw new RangeError(`a frame holds at most ${maxFrameBody} bytes, got ${length}`)
}

/** Cuts a stream of bytes, split anywhere, into frames. */
export class FrameReader {
  #chunks: Buffer[] = []
  #size = 0
  /** Bytes that must be there before looking again makes sense. */
  #needed: number = frameHeaderLength

  /**
   * The frames that are whole with this chunk. Throws ERR_HANDFAST_PROTOCOL at a length that
   * is over the limit; the reader is of no use after that.
   */
  read(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk)
    this.#size += chunk.length
    const frames: Frame[] = []
    if (this.#size < this.#needed) return frames
    // One copy for each frame that came in pieces, however many the pieces.
    let bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
    this.#needed = frameHeaderLength
    while (bytes.length >= frameHeaderLength) {
      const length = bytes.readUInt32BE(0)
      if (length > maxFrameBody) {
        throw new HandfastError(
          'ERR_HANDFAST_PROTOCOL',
          `frame of ${length} bytes, at most ${maxFrameBody} are allowed`,
        )
      }
      const end = frameHeaderLength + length
      if (bytes.length < end) {
        this.#needed = end
        break
      }
      frames.push({ type: bytes.readUInt8(4), body: bytes.subarray(5, end) })
      bytes = bytes.subarray(end)
    }
    this.#chunks = bytes.length === 0 ? [] : [bytes]
    this.#size = bytes.length
    return frames
  }
}
