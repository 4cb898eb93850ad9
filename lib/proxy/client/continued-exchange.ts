import { type Duplex, Readable } from 'node:stream'
import {
  judge,
  type Refusal,
  resumingFields,
} from '../../dispatch/resumed-response/continuation.ts'
import type { Representation } from '../../dispatch/resumed-response/representation.ts'
import type { Fields } from '../../http/fields.ts'
import type { AskedRequest } from '../../takeover/checkpoint/checkpoint.ts'
import type { RequestHead } from '../message/request-check.ts'
import type { ClientConnection } from './client-connection.ts'
import type { Exchange } from './exchange.ts'

/**
 * What becomes of an answer that is asked for again from its middle on:
 *
 * - `whole`: all that was missing has been given to the connection.
 * - `unavailable`: nobody could say anything of it; the next may. Nothing has been written.
 * - a Refusal: it is, or may be, another object by now. Nothing has been written.
 * - `cut`: it has gone on, and broke off for good.
 * - `gone`: the client left.
 */
export type ContinuedOutcome = 'whole' | 'unavailable' | Refusal | 'cut' | 'gone'

export interface ContinuedOptions {
  readonly request: AskedRequest
  readonly representation: Representation
  /** The byte of the representation that is missing first, and how many are. */
  readonly from: number
  readonly length: number
  /** There are bytes, and they are the right ones. */
  readonly onContinued: () => void
  /** Called once. */
  readonly onOutcome: (outcome: ContinuedOutcome) => void
}

/**
 * The rest of an answer that a process began which is no more. To the handler it is a request
 * for that part of the object, judged and passed on as any; to the client it is nothing but the
 * bytes that it still waits for.
 */
export class ContinuedExchange implements Exchange {
  readonly connection: ClientConnection
  readonly head: RequestHead
  readonly source: Readable = Readable.from([])
  readonly complete = true
  bytes = 0
  status: number | undefined
  final = false
  fault: string | undefined
  onDrain: () => void = () => {}
  onClose: () => void = () => {}
  onOver: () => void = () => {}
  readonly #socket: Duplex
  readonly #options: ContinuedOptions
  #left: number
  /** Bytes yet to come that the client has. */
  #skip = 0
  #continues = false
  #blocked = false
  #outcome: ContinuedOutcome | undefined
  readonly #drained = () => {
    this.#blocked = false
    this.onDrain()
  }
  readonly #closed = () => this.#finish('gone')

  constructor(connection: ClientConnection, options: ContinuedOptions) {
    const { request, representation, from, length } = options
    this.connection = connection
    this.#socket = connection.socket
    this.#options = options
    this.#left = length
    this.head = {
      method: request.method,
      target: request.target,
      httpVersion: request.httpVersion,
      http2: false,
      fields: resumingFields(request.fields, representation, from),
    }
    connection.exchanges.add(this)
    this.#socket.on('drain', this.#drained)
    this.#socket.on('close', this.#closed)
  }

  get started(): boolean {
    return this.#continues || this.#outcome !== undefined
  }

  get untaken(): number | undefined {
    return this.#blocked ? this.#socket.writableLength : undefined
  }

  /** What it is judged by is what the backend said, not what is made of it for clients. */
  represents(status: number, fields: Fields): void {
    if (this.started) return
    const { representation, from } = this.#options
    const verdict = judge(representation, from, status, fields)
    if (verdict.kind !== 'continues') {
      this.#finish(verdict.kind)
      return
    }
    this.#skip = verdict.skip
    this.#continues = true
    this.#options.onContinued()
  }

  continue(): void {}

  inform(): void {}

  respond(status: number): void {
    this.status = status
    // Whatever the proxy says of itself: who may not have it any more gets no more of it.
    if (!this.started) this.#finish(status >= 500 ? 'unavailable' : 'changed')
  }

  write(chunk: Buffer): boolean {
    if (this.#outcome !== undefined) return true
    const skipped = Math.min(this.#skip, chunk.length)
    this.#skip -= skipped
    const bytes = chunk.subarray(skipped)
    if (bytes.length > this.#left) {
      this.breakOff()
      return true
    }
    if (bytes.length === 0) return true
    this.#left -= bytes.length
    this.bytes += bytes.length
    this.#blocked = !this.#socket.write(bytes)
    return !this.#blocked
  }

  end(): void {
    this.#finish(this.#left === 0 ? 'whole' : 'cut')
  }

  upgrade(): Duplex {
    throw new Error('not an upgrade')
  }

  abort(): void {
    this.#finish('cut')
  }

  breakOff(): void {
    this.#finish('cut')
  }

  #finish(outcome: ContinuedOutcome): void {
    if (this.#outcome !== undefined) return
    this.#outcome = outcome
    this.#socket.off('drain', this.#drained)
    this.#socket.off('close', this.#closed)
    this.connection.exchanges.delete(this)
    // Not within the call of a handler that is in the middle of telling something.
    process.nextTick(() => {
      this.onClose()
      this.onOver()
      this.#options.onOutcome(outcome)
    })
  }
}
