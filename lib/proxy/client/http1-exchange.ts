import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import {
  type Representation,
  representationOf,
} from '../../dispatch/resumed-response/representation.ts'
import { type Fields, filterFields, lowerCase } from '../../http/fields.ts'
import type { RequestHead } from '../message/request-check.ts'
import type { ClientConnection } from './client-connection.ts'
import type { Exchange } from './exchange.ts'
import { closeSoon, discard } from './linger.ts'

/** A request on HTTP/1.x. */
export class Http1Exchange implements Exchange {
  readonly connection: ClientConnection
  readonly head: RequestHead
  readonly source: IncomingMessage
  bytes = 0
  status: number | undefined
  final = false
  fault: string | undefined
  onDrain: () => void = () => {}
  onClose: () => void = () => {}
  onOver: () => void = () => {}
  /** For the connection's queue: the next request may have its turn. */
  onDone: () => void = () => {}
  /** Set by the connection: this answer is to be the last. */
  isLast: () => boolean = () => false
  /** The request turned out unreadable while it waited for its turn. */
  unreadable: readonly [status: number, text: string] | undefined
  protected readonly response: ServerResponse
  /** The client has said so, or speaks HTTP/1.0. */
  readonly #isClientsLast: boolean
  #continued = false
  #blocked = false
  #represented: Representation | undefined
  #sized = false
  #over = false

  constructor(
    connection: ClientConnection,
    request: IncomingMessage,
    response: ServerResponse,
  ) {
    this.connection = connection
    this.source = request
    this.response = response
    this.#isClientsLast = !response.shouldKeepAlive
    this.head = {
      method: request.method as string,
      target: request.url as string,
      httpVersion: request.httpVersion,
      http2: false,
      upgrade: (request as { upgrade?: boolean }).upgrade === true,
      fields: request.rawHeaders,
    }
    connection.exchanges.add(this)
    response.on('finish', () => this.#finish())
  }

  get complete(): boolean {
    return this.source.complete
  }

  /** Nothing more comes from the client that it would want to be read. */
  get isClientDone(): boolean {
    return this.#isClientsLast && this.complete
  }

  /** Nothing that came after this request on its connection is to be looked at. */
  get last(): boolean {
    return this.final || !this.response.shouldKeepAlive
  }

  get started(): boolean {
    return this.response.headersSent
  }

  get untaken(): number | undefined {
    const isTurn = this.#blocked || this.response.writableEnded
    return isTurn && !this.#over ? this.response.writableLength : undefined
  }

  continue(): void {
    if (this.#continued) return
    this.#continued = true
    // Node closes the connection after the answer unless it was told so by this call.
    this.response.writeContinue()
  }

  /** By hand: Node has a call for 103 alone, which refuses much of what Link may hold. */
  inform(status: number, fields: Fields): void {
    // RFC 9110 15.2: HTTP/1.0 knows none.
    if (this.head.httpVersion !== '1.1' || this.started) return
    const { socket } = this.response
    // A client that takes nothing need not be told that there is more to come.
    if (socket === null || socket.destroyed || socket.writableNeedDrain) return
    socket.write(headerSection(status, STATUS_CODES[status] ?? '', fields), 'latin1')
  }

  represents(status: number, fields: Fields): void {
    if (this.connection.written === undefined) return
    this.#represented = representationOf(status, fields)
  }

  respond(status: number, text: string, fields: Fields, last: boolean): void {
    if (this.final || this.isLast()) this.response.shouldKeepAlive = false
    const reason = text.replace(notInReason, '') || STATUS_CODES[status]
    this.response.writeHead(status, reason, this.#sayable(fields, last) as string[])
    this.status = status
    const { written } = this.connection
    written?.answers(this.#represented, fields, this.response.shouldKeepAlive)
    if (last) this.response.end()
    else process.nextTick(() => this.#flush())
  }

  write(chunk: Buffer): boolean {
    this.bytes += chunk.length
    const waits = this.#blocked
    this.#blocked = !this.response.write(chunk)
    // Most answers never wait.
    if (this.#blocked && !waits) {
      this.response.once('drain', () => {
        this.#blocked = false
        this.onDrain()
      })
    }
    return !this.#blocked
  }

  end(trailers: Fields): void {
    if (trailers.length > 0 && this.response.chunkedEncoding) {
      const pairs: [string, string][] = []
      for (let i = 0; i < trailers.length; i += 2) {
        pairs.push([trailers[i] as string, trailers[i + 1] as string])
      }
      try {
        this.response.addTrailers(pairs)
      } catch {
        this.fault = 'invalid-trailers'
        this.abort()
        return
      }
    }
    this.response.end()
  }

  upgrade(_fields: Fields): Duplex {
    throw new Error('not an upgrade')
  }

  abort(): void {
    this.connection.socket.destroy()
  }

  breakOff(): void {
    const { socket } = this.connection
    // Let the watch over slow clients see to the wait.
    this.#blocked = true
    // Where nothing but the end of the connection ends the body, a proper end would lie.
    const sized = this.response.chunkedEncoding || this.#sized
    socket.write('', () => {
      if (sized) closeSoon(socket)
      else socket.destroy()
    })
  }

  /** The answer has been sent, or the connection is gone. */
  close(): void {
    if (this.#over) return
    this.#over = true
    this.connection.exchanges.delete(this)
    this.onClose()
    this.onOver()
    this.onDone()
  }

  /** The fields as Node takes them for this client. */
  #sayable(fields: Fields, last: boolean): readonly string[] {
    const others: string[] = []
    const lengths: string[] = []
    let trailers = false
    for (let i = 0; i < fields.length; i += 2) {
      const name = lowerCase(fields[i] as string)
      trailers ||= name === 'trailer'
      const into = name === 'content-length' ? lengths : others
      into.push(fields[i] as string, fields[i + 1] as string)
    }
    this.#sized = lengths.length > 0
    // A Content-Disposition after the length is taken for UTF-8, and refused or garbled when it
    // has other bytes (nodejs/node#58240).
    others.push(...lengths)
    // Node throws at a Trailer where there are no chunks to follow.
    const chunks = this.head.httpVersion === '1.1' && !this.#sized && !last
    return trailers && !chunks ? filterFields(others, isNoTrailer) : others
  }

  /** A body that is long in coming must not hold back the header section. */
  #flush(): void {
    if (this.bytes === 0 && !this.response.writableEnded) this.response.flushHeaders()
  }

  #finish(): void {
    this.close()
    // What is left of the request is read and dropped, within reason.
    const { socket } = this.connection
    if (!this.source.complete && !socket.destroyed) discard(this.source, socket)
  }
}

/** Control bytes, which Node throws at. */
const notInReason = /[^\t\x20-\x7e\x80-\xff]/g

function isNoTrailer(name: string): boolean {
  return name !== 'trailer'
}

function headerSection(status: number, reason: string, fields: Fields): string {
  let text = `HTTP/1.1 ${status} ${reason}\r\n`
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
  return `${text}\r\n`
}

/** A request that asked for another protocol. The parser has let go of its socket. */
export class Http1Upgrade extends Http1Exchange {
  readonly #early: Buffer

  constructor(
    connection: ClientConnection,
    request: IncomingMessage,
    response: ServerResponse,
    early: Buffer,
  ) {
    super(connection, request, response)
    this.#early = early
    // Node took its own listener away; without one an error would end the process.
    connection.socket.on('error', () => connection.socket.destroy())
    response.on('finish', () => connection.socket.destroySoon())
  }

  override get complete(): boolean {
    return true
  }

  /** It may be speaking the new protocol already. */
  override get isClientDone(): boolean {
    return false
  }

  override upgrade(fields: Fields): Duplex {
    const { socket } = this.connection
    this.status = 101
    this.response.detachSocket(socket)
    this.connection.written?.switches()
    const said = ['Connection', 'Upgrade', ...fields]
    socket.write(headerSection(101, 'Switching Protocols', said), 'latin1')
    if (this.#early.length > 0) socket.unshift(this.#early)
    return socket
  }
}
