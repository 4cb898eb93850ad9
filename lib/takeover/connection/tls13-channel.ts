import { HandfastError } from '../../errors.ts'
import { recordsFor } from '../plan/planned-response.ts'
import { alertContent, RecordFault, readAlert } from '../record-layer/alert.ts'
import { contentType, fullRecord, recordOverhead } from '../record-layer/layout.ts'
import { keyUpdateMessage, PostHandshake } from '../record-layer/post-handshake.ts'
import { RecordOpener } from '../record-layer/record-opener.ts'
import { RecordReader } from '../record-layer/record-reader.ts'
import { RecordSealer } from '../record-layer/record-sealer.ts'
import { SealedBuffers } from '../record-layer/sealed-buffers.ts'
import { suites } from '../record-layer/suite.ts'
import type { Channel, RestOfPlan } from './channel.ts'
import type { Tls13State } from './connection-state.ts'

/** The client has ended the connection with an alert of an error. */
export class ClientAlert extends HandfastError {
  readonly alert: number

  constructor(alert: number) {
    super('ERR_HANDFAST_PROTOCOL', `TLS: the client sent alert ${alert}`)
    this.name = 'ClientAlert'
    this.alert = alert
  }
}

/** The application data of TLS 1.3, behind a handshake that somebody else has made. */
export class Tls13Channel implements Channel {
  readonly #facts: Tls13State
  readonly #reader = new RecordReader()
  readonly #post = new PostHandshake()
  readonly #opener: RecordOpener
  readonly #sealer: RecordSealer
  readonly #mostRecords: number
  /** Bytes of a planned response for which no record has begun. */
  #head = 0
  #body = 0
  /** Of what is sealed next, bytes that went out before. */
  #skip = 0
  /** What the last `say` has filled. */
  #out: Buffer[] = []
  #empty = 0
  #owesUpdate = false
  #ended = false
  #isLast = false

  /** `mostRecords`: under one key; for tests. */
  constructor(state: Tls13State, mostRecords: number = suites[state.suite].mostRecords) {
    const { suite, clientSecret, serverSecret, readRecord, writeRecord } = state
    this.#facts = state
    this.#opener = new RecordOpener(suite, Buffer.from(clientSecret), readRecord)
    this.#sealer = new RecordSealer(suite, Buffer.from(serverSecret), writeRecord)
    this.#mostRecords = mostRecords
  }

  get held(): number {
    return this.#reader.held
  }

  get record(): number {
    return this.#sealer.keys.number
  }

  get inPlan(): boolean {
    return this.planned > 0
  }

  get planned(): number {
    return this.#head + this.#body + this.#sealer.missing
  }

  get owesAnswer(): boolean {
    return this.#owesUpdate && !this.inPlan && !this.#isLast
  }

  push(chunk: Buffer): void {
    // RFC 8446 6.1: what comes behind the end is ignored.
    if (!this.#ended) this.#reader.push(chunk)
  }

  hear(): Buffer | 'end' | undefined {
    // An update that is owed has to go out before more data (RFC 8446 4.6.3), and no record of
    // a planned response may have another number. So it counts as not read until then.
    while (!this.#ended && !(this.#owesUpdate && (this.inPlan || this.#isLast))) {
      const record = this.#reader.next()
      if (record === undefined) return undefined
      const { type, content } = this.#opener.open(record)
      if (this.#post.isPartial && type !== contentType.handshake) {
        throw new RecordFault('unexpected_message', 'a record in a handshake message')
      }
      if (type === contentType.applicationData) {
        this.#post.dataCame()
        this.#countEmpty(content)
        if (content.length > 0) return content
      } else if (type === contentType.alert) {
        if (this.#hearAlert(content)) return 'end'
      } else if (type === contentType.handshake) this.#hearUpdate(content)
      else throw new RecordFault('unexpected_message', `a record of type ${type}`)
    }
    return undefined
  }

  answer(): Buffer | undefined {
    if (!this.owesAnswer) return undefined
    this.#owesUpdate = false
    return this.#updateKeys()
  }

  say(chunks: readonly Buffer[]): Buffer[] {
    let left = 0
    for (const { length } of chunks) left += length
    const parts: Buffer[] = []
    let out = this.#nextBuffer(left)
    let at = 0
    const put = () => {
      if (at > 0) parts.push(out.subarray(0, at))
    }
    for (const chunk of chunks) {
      let done = 0
      while (done < chunk.length) {
        if (
          at + fullRecord + recordOverhead > out.length &&
          at + left + room > out.length
        ) {
          put()
          out = this.#nextBuffer(left)
          at = 0
        }
        if (this.#sealer.missing === 0) {
          if (!this.inPlan && this.#isLast) throw afterLast()
          if (!this.inPlan && this.#isUsedUp(1)) {
            put()
            parts.push(this.#updateKeys())
            out = out.subarray(at)
            at = 0
          }
          at = this.#sealer.begin(this.#nextLength(left), out, at)
        }
        const piece = chunk.subarray(done, done + this.#sealer.missing)
        at = this.#sealer.add(piece, out, at)
        done += piece.length
        left -= piece.length
      }
    }
    put()
    return this.#skip > 0 ? parts.map(part => this.#withoutSkipped(part)) : parts
  }

  sent(): void {
    for (const buffer of this.#out) buffers.give(buffer)
    this.#out = []
  }

  hasRoom(length: number): boolean {
    return !this.#isLast && !this.#isUsedUp(recordsFor(length))
  }

  makeRoom(length: number): readonly Buffer[] | false {
    if (this.#isLast) return false
    const records = recordsFor(length)
    if (!this.#isUsedUp(records)) return []
    if (records + spare > this.#mostRecords) return false
    return [this.#updateKeys()]
  }

  plan(head: number, length: number): void {
    this.#head = head
    this.#body = length
  }

  resume({ head, length, record, skip, last }: RestOfPlan): void {
    if (record === undefined) throw new TypeError('a response without records')
    this.#sealer.keys.number = record
    this.#skip = skip
    this.#isLast = last
    this.plan(head, length)
  }

  last(error?: unknown): Buffer | undefined {
    if (this.inPlan || this.#isLast) return undefined
    const alert = error instanceof RecordFault ? error.alert : 'close_notify'
    return this.#sealer.seal(contentType.alert, alertContent(alert))
  }

  state(): Tls13State {
    const { keys: read } = this.#opener
    const { keys: write } = this.#sealer
    return {
      ...this.#facts,
      clientSecret: Buffer.from(read.secret),
      serverSecret: Buffer.from(write.secret),
      readRecord: read.number,
      writeRecord: write.number,
    }
  }

  wipe(): void {
    this.#opener.keys.wipe()
    this.#sealer.wipe()
  }

  /** Content of the record that begins now, with so many bytes of it there. */
  #nextLength(there: number): number {
    if (this.#head > 0) {
      const head = this.#head
      this.#head = 0
      return head
    }
    if (this.#body > 0) {
      const length = Math.min(this.#body, fullRecord)
      this.#body -= length
      return length
    }
    return Math.min(there, fullRecord)
  }

  /** No key may seal so many more: RFC 8446 5.5. */
  #isUsedUp(records: number): boolean {
    return this.record + records + spare > this.#mostRecords
  }

  /** For what is left to say, or as much of it as a buffer holds. */
  #nextBuffer(left: number): Buffer {
    const buffer = buffers.take(left + room)
    this.#out.push(buffer)
    return buffer
  }

  #updateKeys(): Buffer {
    const record = this.#sealer.seal(contentType.handshake, keyUpdateMessage)
    this.#sealer.keys.update()
    return record
  }

  #withoutSkipped(part: Buffer): Buffer {
    const left = part.subarray(Math.min(this.#skip, part.length))
    this.#skip -= part.length - left.length
    return left
  }

  #hearUpdate(content: Buffer): void {
    const heard = this.#post.push(content)
    if (heard === 'more') return
    this.#opener.keys.update()
    if (heard === 'update-requested') this.#owesUpdate = true
  }

  #hearAlert(content: Buffer): boolean {
    const alert = readAlert(content)
    if (typeof alert === 'number') throw new ClientAlert(alert)
    if (alert === 'end') this.#ended = true
    return this.#ended
  }

  #countEmpty({ length }: Buffer): void {
    this.#empty = length > 0 ? 0 : this.#empty + 1
    if (this.#empty > mostEmpty) {
      throw new RecordFault('unexpected_message', 'empty records and nothing else')
    }
  }
}

function afterLast(): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_USAGE',
    'nothing can be said after this response',
  )
}

const buffers = new SealedBuffers()

/** More than the overhead of what is said in one buffer: one record is begun for each part. */
const room = 8 * recordOverhead

/** Records without a byte in a row, which RFC 8446 5.1 allows. As OpenSSL has it. */
const mostEmpty = 32

/** Records of each key that are kept for an update of it, and an alert. */
const spare = 2
