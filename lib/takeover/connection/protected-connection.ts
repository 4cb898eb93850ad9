import type { Socket } from 'node:net'
import { HandfastError } from '../../errors.ts'
import {
  type PlannedResponse,
  recordAfter,
  remainderAt,
} from '../plan/planned-response.ts'
import type { Channel } from './channel.ts'
import type { ConnectionState } from './connection-state.ts'
import { NextResponse, type Planned, type ResponsePlan } from './next-response.ts'
import { after, type OutputGuard } from './output-guard.ts'
import { OutputHold } from './output-hold.ts'
import { PlainChannel } from './plain-channel.ts'
import { mostHeld, SocketStream } from './socket-stream.ts'
import { Tls13Channel } from './tls13-channel.ts'

/**
 * A client connection that another process can go on with: the stream that an HTTP/1.1 server
 * is given in place of a socket, or of a TLSSocket. What is on the wire follows from what is
 * said: of a planned response, even the borders of its records (PlannedResponse).
 */
export class ProtectedConnection extends SocketStream {
  /** Undefined: whatever is written is said at once. To be set before anything is. */
  guard: OutputGuard | undefined
  readonly #channel: Channel
  readonly #hold = new OutputHold()
  #position: number
  #taken: number
  #next: NextResponse | undefined
  /** The last bytes that were given to the application, four at most, as a number. */
  #lastHeard = emptyLine
  #wantsMore = false
  #isAnswering = false
  #hasSpoken = false
  /** The transport has said all. */
  #isOver = false
  #heardEnd = false

  /**
   * Goes on with a connection that was `position` and `readPosition` bytes far. What `state`
   * holds is copied: it is the caller's to wipe. `early` was read before, and counts from here
   * on. Nothing is read before somebody listens.
   */
  static adopt(
    socket: Socket,
    state: ConnectionState,
    position: number,
    readPosition: number,
    early: Buffer = nothing,
  ): ProtectedConnection {
    return new ProtectedConnection(socket, state, position, readPosition, early)
  }

  private constructor(
    socket: Socket,
    state: ConnectionState,
    position: number,
    readPosition: number,
    early: Buffer,
  ) {
    const tls = state.kind === 'tls13' ? state : undefined
    super(socket, tls)
    this.#position = position
    this.#taken = readPosition + early.length
    this.#isOver = socket.readableEnded
    this.#channel = tls === undefined ? new PlainChannel() : new Tls13Channel(tls)
    if (early.length > 0) this.#channel.push(early)
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('end', () => {
      this.#isOver = true
      this.#hear()
    })
    socket.pause()
  }

  /** Bytes given to the transport since it was accepted; those that wait in it count. */
  get position(): number {
    return this.#position
  }

  /**
   * Bytes of the transport of which the application has had what they say. Part of a record does
   * not count; for a part of a request see `isBetweenRequests`.
   */
  get readPosition(): number {
    return this.#taken - this.#channel.held
  }

  /**
   * What the application has had so far ends with an empty line, or is nothing: of requests
   * without a body, the parser holds no part of one.
   */
  get isBetweenRequests(): boolean {
    return this.#lastHeard === emptyLine
  }

  /** It has said more than the rest of a response that it was to resume. */
  get hasSpoken(): boolean {
    return this.#hasSpoken
  }

  /**
   * What is written next is a response that can be made again, its head in one piece. True when
   * it will be laid out so, and `planned` told. False when it can't be: something written before
   * it waits, part of another request has come, or it is too long for the numbers of records.
   */
  plan(plan: ResponsePlan, planned: Planned): boolean {
    if (this.#channel.inPlan || this.#next !== undefined) {
      // Other bytes would be sealed under numbers that are promised to the first.
      const error = 'a response begins within another'
      this.destroy(new HandfastError('ERR_HANDFAST_USAGE', error))
      return false
    }
    const isReady = this.writableLength === 0 && this.writable && !this.#heardEnd
    if (this.#hold.isOn || !isReady || !this.isBetweenRequests) return false
    if (plan.length < 1) return false
    // What would have to go out before it is in no plan.
    const isFree = this.#channel.hasRoom(plan.length) && !this.#channel.owesAnswer
    if (this.guard !== undefined && !isFree) return false
    const before = this.#channel.makeRoom(plan.length)
    if (before === false) return false
    this.#hasSpoken ||= before.length > 0
    for (const bytes of before) this.#send(bytes)
    this.#next = new NextResponse(plan, planned)
    return true
  }

  /**
   * Goes on in a response that another process has begun, at the position of this connection.
   * What is left of its head is written by this call; the caller then writes `length` bytes of
   * the representation from byte `from` on. `complete`: nothing of it is missing.
   * @param last The connection ends after it, and TLS seals nothing more, not even its end.
   */
  resumeResponse(
    response: PlannedResponse,
    last = false,
  ): { readonly from: number; readonly length: number } | 'complete' | 'impossible' {
    const sealed = response.record !== undefined
    if (sealed !== this.encrypted || this.#channel.inPlan) return 'impossible'
    const rest = remainderAt(response, this.#position)
    if (rest.kind === 'end') {
      const record = recordAfter(response)
      this.#channel.resume({ head: 0, length: 0, record, skip: 0, last })
      return 'complete'
    }
    if (rest.kind !== 'rest') return 'impossible'
    const { head, from, length, record, skip } = rest
    this.#channel.resume({ head: head.length, length, record, skip, last })
    if (head.length > 0) this.write(head)
    return { from, length }
  }

  /** What another process needs to go on with it; the secrets in it are copies. */
  state(): ConnectionState {
    return this.#channel.state()
  }

  /**
   * From now on nothing is given to the transport: what is written waits, its end included. So
   * `state` and `position` stay as they are, whatever its user does, but for its destruction.
   */
  hold(): void {
    this.#hold.begin()
  }

  /** All goes on. */
  release(): void {
    const waiting = this.#hold.end()
    // What it asked for meanwhile comes before the next data (RFC 8446 4.6.3).
    if (this.#channel.owesAnswer) this.#answer()
    for (const goOn of waiting) goOn()
  }

  override _read(): void {
    this.#wantsMore = true
    this.#hear()
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    this.#write([chunk], callback)
  }

  override _writev(
    chunks: { chunk: Buffer }[],
    callback: (error?: Error | null) => void,
  ): void {
    this.#write(
      chunks.map(({ chunk }) => chunk),
      callback,
    )
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (this.#hold.keeps(() => this._final(callback))) return
    const wait = this.#channel.inPlan ? undefined : this.guard?.suspend()
    // Without a word TCP alone says that this is the end.
    after(
      wait,
      () => this.#end(callback),
      () => this.transport.end(() => callback()),
    )
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#channel.wipe()
    this.transport.destroy()
    callback(error)
  }

  #take(chunk: Buffer): void {
    this.#taken += chunk.length
    this.#channel.push(chunk)
    this.#hear()
  }

  /** Gives the application what it will take, and reads on only when that was all. */
  #hear(): void {
    try {
      while (this.#wantsMore && !this.#heardEnd && !this.destroyed) {
        const heard = this.#channel.hear()
        if (this.#channel.owesAnswer) this.#answer()
        const isEnd = heard === 'end' || (heard === undefined && this.#hasHeardAll)
        if (isEnd) {
          this.#heardEnd = true
          this.push(null)
        } else if (heard === undefined) break
        else {
          this.#lastHeard = lastBytes(this.#lastHeard, heard)
          this.#wantsMore = this.push(heard)
        }
      }
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    const isFull = !this.#wantsMore || this.#channel.held > mostHeld
    if (isFull && !this.#heardEnd) this.transport.pause()
    else this.transport.resume()
  }

  /** What is held now is part of a record that nobody ends, or waits for the end of a plan. */
  get #hasHeardAll(): boolean {
    return this.#isOver && !(this.#channel.inPlan && this.#channel.held > 0)
  }

  /** It is told what was wrong, where that can be said, and hears no more. */
  #fail(error: Error): void {
    const wait = this.#channel.inPlan ? undefined : this.guard?.suspend()
    if (wait !== undefined) this.#heardEnd = true
    after(
      wait,
      () => this.#sayFault(error),
      () => this.destroy(error),
    )
  }

  #sayFault(error: Error): void {
    const last = this.destroyed ? undefined : this.#channel.last(error)
    if (last === undefined || !this.transport.writable) {
      this.destroy(error)
      return
    }
    this.#hasSpoken = true
    this.transport.end(last, () => this.destroy(error))
  }

  #end(callback: () => void): void {
    if (this.#hold.keeps(() => this.#end(callback))) return
    const last = this.destroyed ? undefined : this.#channel.last()
    this.#hasSpoken = true
    if (last !== undefined) this.#send(last)
    this.transport.end(() => callback())
  }

  /** What the client has to be told for what it said. */
  #answer(): void {
    if (this.#isAnswering || this.#hold.isOn) return
    const wait = this.guard?.suspend()
    this.#isAnswering = wait !== undefined
    after(
      wait,
      () => {
        this.#isAnswering = false
        this.#sayAnswer()
      },
      error => this.#giveUp(error, error => this.destroy(error)),
    )
  }

  #sayAnswer(): void {
    if (this.#hold.keeps(() => this.#sayAnswer())) return
    const answer = this.destroyed ? undefined : this.#channel.answer()
    this.#hasSpoken = true
    if (answer !== undefined) this.#send(answer)
    this.guard?.settled()
  }

  #giveUp(error: Error, callback: (error: Error) => void): void {
    this.transport.resetAndDestroy()
    callback(error)
  }

  #write(chunks: Buffer[], callback: (error?: Error | null) => void): void {
    if (this.#hold.keeps(() => this.#write(chunks, callback))) return
    const next = this.#next
    this.#next = undefined
    const [first = nothing] = chunks
    const response = next?.begin(first, this.#channel, this.#position)
    if (response !== undefined) this.#hasSpoken = true
    after(
      (response && next?.planned(response)) ?? undefined,
      () => this.#sayGuarded(chunks, callback),
      error => this.#giveUp(error, callback),
    )
  }

  /** What is in no plan waits for the guard, be it behind something that is. */
  #sayGuarded(chunks: readonly Buffer[], callback: (error?: Error | null) => void): void {
    const { planned } = this.#channel
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    if (this.guard === undefined || length <= planned) {
      this.#say(chunks, callback)
      return
    }
    if (planned > 0) {
      const all = Buffer.concat(chunks)
      this.#say([all.subarray(0, planned)], error => {
        if (error) callback(error)
        else this.#sayGuarded([all.subarray(planned)], callback)
      })
      return
    }
    after(
      this.guard.suspend(),
      () => this.#say(chunks, callback),
      error => this.#giveUp(error, callback),
    )
  }

  #say(chunks: readonly Buffer[], callback: (error?: Error | null) => void): void {
    if (this.#hold.keeps(() => this.#say(chunks, callback))) return
    if (this.destroyed) {
      callback()
      return
    }
    const wasInPlan = this.#channel.inPlan
    this.#hasSpoken ||= !wasInPlan
    let parts: Buffer[]
    try {
      parts = this.#channel.say(chunks)
    } catch (error) {
      callback(error as Error)
      return
    }
    this.transport.cork()
    const last = parts.pop() ?? nothing
    for (const part of parts) this.#send(part)
    this.#position += last.length
    this.transport.write(last, error => {
      if (!error) this.#channel.sent()
      callback(error)
    })
    this.transport.uncork()
    // What came meanwhile may have had to wait for this.
    if (wasInPlan && !this.#channel.inPlan) this.#hear()
  }

  #send(bytes: Buffer): void {
    this.#position += bytes.length
    this.transport.write(bytes)
  }
}

/** `\r\n\r\n`, big endian. */
const emptyLine = 0x0d0a0d0a

function lastBytes(before: number, chunk: Buffer): number {
  const { length } = chunk
  if (length >= 4) return chunk.readUInt32BE(length - 4)
  let last = before
  for (const byte of chunk) last = ((last << 8) | byte) >>> 0
  return last
}

const nothing = Buffer.alloc(0)
