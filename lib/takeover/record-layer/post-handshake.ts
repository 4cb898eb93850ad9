import { RecordFault } from './alert.ts'

/*
 * The one message that a client may send after its handshake to a server that asks for nothing
 * (RFC 8446 4.6.3):
 *
 *     | 24 | 0 0 1 | 1: answer with one of your own, 0: no need |
 */

const keyUpdate = 24
const messageBytes = 5

/** Asks for no answer: ours says that our keys change, and nothing about the client's. */
export const keyUpdateMessage: Buffer = Buffer.from([keyUpdate, 0, 0, 1, 0])

/**
 * Reads handshake messages behind the handshake, which may be spread over records. A client that
 * sends no end of them is refused.
 */
export class PostHandshake {
  #bytes: Buffer = Buffer.alloc(0)
  #inRow = 0

  /** In the middle of a message: only more of it may follow. */
  get isPartial(): boolean {
    return this.#bytes.length > 0
  }

  /** Application data has come. */
  dataCame(): void {
    this.#inRow = 0
  }

  /** Whether the client has new keys from now on, and if so whether it wants the same of us. */
  push(content: Buffer): 'more' | 'update' | 'update-requested' {
    if (content.length === 0) {
      throw new RecordFault('unexpected_message', 'an empty handshake fragment')
    }
    const bytes = Buffer.concat([this.#bytes, content])
    if (bytes[0] !== keyUpdate) {
      throw new RecordFault('unexpected_message', `handshake message ${bytes[0]}`)
    }
    // Keys change with it, so nothing may follow in its record (RFC 8446 5.1).
    if (bytes.length > messageBytes) {
      throw new RecordFault('unexpected_message', 'more behind a KeyUpdate')
    }
    if (bytes.length < messageBytes) {
      this.#bytes = bytes
      return 'more'
    }
    if (bytes.readUIntBE(1, 3) !== 1) {
      throw new RecordFault('decode_error', 'a KeyUpdate of another length')
    }
    const request = bytes[4] as number
    if (request > 1) {
      throw new RecordFault('illegal_parameter', `a KeyUpdate that asks for ${request}`)
    }
    this.#inRow += 1
    if (this.#inRow > mostInRow) {
      throw new RecordFault('unexpected_message', 'KeyUpdates and nothing else')
    }
    this.#bytes = Buffer.alloc(0)
    return request === 1 ? 'update-requested' : 'update'
  }
}

/** As OpenSSL and others have it. */
const mostInRow = 32
