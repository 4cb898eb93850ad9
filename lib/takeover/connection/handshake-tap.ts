import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { RecordFault } from '../record-layer/alert.ts'
import { contentType, fullRecord } from '../record-layer/layout.ts'
import { RecordOpener } from '../record-layer/record-opener.ts'
import { RecordReader } from '../record-layer/record-reader.ts'
import type { SuiteName } from '../record-layer/suite.ts'

export interface TapEvents {
  /**
   * The random of the client's hello, in hex: it comes again with the secrets. False when the
   * connection is not to be watched.
   */
  readonly onRandom: (random: string) => boolean
  /** It is only a pipe from now on, or is over. */
  readonly onOver: () => void
}

/** What is known when the handshake and all behind it has passed. */
export interface Handover {
  readonly socket: Socket
  readonly suite: SuiteName
  /** To be taken over. */
  readonly clientSecret: Buffer
  readonly serverSecret: Buffer
  /** Number of the next record of ours: TLS has sent tickets before. */
  readonly writeRecord: number
  /** Bytes of the transport until here, and what has come from the client and is not for TLS. */
  readonly position: number
  readonly readPosition: number
  readonly early: Buffer
}

/**
 * Stands between a connection and Node's TLS while the handshake is made. Once the secrets are
 * known it tells what is still of the handshake from what is said after it: the client's first
 * record of application data, and all behind it, is kept from TLS; TLS's own records are counted
 * on their way out, and a random word that is written into it as application data, which never
 * goes out, shows that everything before it has. Then the connection can be taken away.
 *
 * What is no TLS 1.3, or can't be followed, passes through it as if it were not there.
 */
export class HandshakeTap extends Duplex {
  readonly #socket: Socket
  readonly #events: TapEvents
  readonly #client = new RecordReader(checkRecord)
  readonly #server = new RecordReader(checkRecord)
  readonly #marker = randomBytes(16)
  #state: 'watching' | 'passing' | 'taken' = 'watching'
  #secrets: Secrets | undefined
  #opener: RecordOpener | undefined
  #sealer: RecordOpener | undefined
  #isHello = true
  /** The first record that is not for TLS. */
  #early: Buffer = nothing
  #wanted = false
  #isOver = false
  #hasMarker = false
  #onMarker: (() => void) | undefined

  constructor(socket: Socket, events: TapEvents) {
    // One byte: TLS is given the next record when it has read the one before. TLS also takes
    // from here whether its own sockets may be half open, and Node's usual answer is no.
    super({ readableHighWaterMark: 1, allowHalfOpen: false })
    this.#socket = socket
    this.#events = events
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
    socket.pause()
  }

  get isWatching(): boolean {
    return this.#state === 'watching'
  }

  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress
  }

  get remotePort(): number | undefined {
    return this.#socket.remotePort
  }

  get remoteFamily(): string | undefined {
    return this.#socket.remoteFamily
  }

  get localAddress(): string | undefined {
    return this.#socket.localAddress
  }

  get localPort(): number | undefined {
    return this.#socket.localPort
  }

  get bytesRead(): number {
    return this.#socket.bytesRead
  }

  get bytesWritten(): number {
    return this.#socket.bytesWritten
  }

  /** The secrets of this handshake's application data. */
  tell(suite: SuiteName, which: 'client' | 'server', secret: Buffer): void {
    if (this.#state !== 'watching') return
    const opener = new RecordOpener(suite, Buffer.from(secret), 0)
    this.#secrets = { ...this.#secrets, suite, [which]: secret }
    if (which === 'client') this.#opener = opener
    else this.#sealer = opener
  }

  /** TLS goes on with it, for good. */
  pass(): void {
    if (this.#state !== 'watching') return
    if (this.#onMarker !== undefined) {
      // The word must not come to the client.
      this.destroy()
      return
    }
    this.#state = 'passing'
    const [fromClient, fromServer] = [this.#fromClient(), this.#server.take()]
    if (fromClient.length > 0) this.push(fromClient)
    if (fromServer.length > 0) this.#socket.write(fromServer)
    if (this.#isOver) this.push(null)
    else this.#socket.resume()
    this.#forget()
  }

  /**
   * Has `write` write the word into TLS, and takes the connection away when it comes out. `done`
   * is told in that moment; undefined when it is over before, or can't be taken.
   */
  takeAway(
    write: (marker: Buffer) => void,
    done: (handover: Handover | undefined) => void,
  ): void {
    const none = () => done(undefined)
    if (this.#state !== 'watching' || this.destroyed) {
      none()
      return
    }
    this.once('close', none)
    this.#onMarker = () => {
      this.off('close', none)
      done(this.#handOver())
    }
    write(this.#marker)
  }

  override _read(): void {
    this.#wanted = true
    // Streams ask for the next bytes right before they give away those that they have.
    if (this.#state === 'watching') process.nextTick(() => this.#feed())
    else if (this.#state === 'passing') this.#socket.resume()
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    if (this.#state === 'taken') {
      callback()
      return
    }
    const passed = this.#state === 'passing' ? chunk : this.#watch(chunk)
    if (passed.length > 0) this.#socket.write(passed, callback)
    else callback()
    if (this.#hasMarker) this.#onMarker?.()
  }

  override _final(callback: () => void): void {
    if (this.#state !== 'taken') this.#socket.end()
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.#state !== 'taken') this.#socket.destroy()
    this.#forget()
    callback(error)
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#state === 'passing') {
      if (!this.push(chunk)) this.#socket.pause()
      return
    }
    this.#client.push(chunk)
    this.#feed()
    if (this.#state === 'watching' && this.#client.held > mostHeld) this.#socket.pause()
  }

  readonly #onEnd = (): void => {
    this.#isOver = true
    if (this.#state === 'passing') this.push(null)
    else this.#feed()
  }

  readonly #onError = (error: Error): void => {
    this.destroy(error)
  }

  readonly #onClose = (): void => {
    this.destroy()
  }

  /** Gives TLS the next record, if it is one for TLS. */
  #feed(): void {
    if (!this.#wanted || this.#early.length > 0 || this.#state !== 'watching') return
    let record: Buffer | undefined
    try {
      record = this.#client.next()
    } catch {
      this.pass()
      return
    }
    if (record === undefined) {
      if (this.#isOver) this.push(null)
      else this.#socket.resume()
    } else if (this.#isForTls(record)) {
      this.#wanted = false
      this.push(record)
    } else {
      this.#early = record
      if (this.#isHello) this.pass()
    }
  }

  #isForTls(record: Buffer): boolean {
    if (this.#isHello) {
      const random = randomOf(record)
      if (random === undefined || !this.#events.onRandom(random)) return false
      this.#isHello = false
    }
    try {
      return this.#opener?.tryOpen(record) === undefined
    } catch {
      // It opened, and what is in it is for somebody else to refuse.
      return false
    }
  }

  #fromClient(): Buffer {
    const bytes = Buffer.concat([this.#early, this.#client.take()])
    this.#early = nothing
    return bytes
  }

  /** What may go out of what TLS says. */
  #watch(chunk: Buffer): Buffer {
    const passed: Buffer[] = []
    this.#server.push(chunk)
    try {
      let record = this.#server.next()
      while (record !== undefined && !this.#isMarker(record)) {
        passed.push(record)
        record = this.#server.next()
      }
      this.#hasMarker = record !== undefined
    } catch {
      passed.push(this.#server.take())
      this.pass()
    }
    return Buffer.concat(passed)
  }

  #isMarker(record: Buffer): boolean {
    const opened = this.#sealer?.tryOpen(record)
    if (opened?.type !== contentType.applicationData) return false
    return opened.content.equals(this.#marker)
  }

  #handOver(): Handover | undefined {
    const { suite, client, server } = this.#secrets ?? {}
    const sealer = this.#sealer
    if (suite === undefined || client === undefined || server === undefined) return
    if (this.#state !== 'watching' || sealer === undefined) return
    this.#state = 'taken'
    const socket = this.#socket
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('error', this.#onError)
    socket.off('close', this.#onClose)
    socket.pause()
    const early = this.#fromClient()
    const readPosition = socket.bytesRead - socket.readableLength - early.length
    const handover = {
      socket,
      suite,
      clientSecret: Buffer.from(client),
      serverSecret: Buffer.from(server),
      // The word has had a number, and did not go out.
      writeRecord: sealer.keys.number - 1,
      position: socket.bytesWritten,
      readPosition,
      early,
    }
    this.#forget()
    return handover
  }

  #forget(): void {
    this.#opener?.keys.wipe()
    this.#sealer?.keys.wipe()
    this.#secrets?.client?.fill(0)
    this.#secrets?.server?.fill(0)
    this.#secrets = undefined
    this.#events.onOver()
  }
}

interface Secrets {
  readonly suite: SuiteName
  readonly client?: Buffer
  readonly server?: Buffer
}

/** Of a ClientHello whose first record has it; see lib/resumption/hello/client-hello.ts. */
function randomOf(record: Buffer): string | undefined {
  const isHello = record[0] === contentType.handshake && record[5] === 1
  return isHello && record.length >= 43 ? record.toString('hex', 11, 43) : undefined
}

/** Of any version: TLS 1.2 has longer ones (RFC 5246 6.2.3). */
function checkRecord(type: number, length: number): void {
  const isRecord =
    type >= contentType.changeCipherSpec && type <= contentType.applicationData
  if (!isRecord || length > fullRecord + 2_048) {
    throw new RecordFault('unexpected_message', 'no record')
  }
}

/** Bytes behind the handshake that wait for its end, beside one read. */
const mostHeld = 65_536

const nothing = Buffer.alloc(0)
