import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Connection } from './connection.ts'
import type { Exchange } from './exchange.ts'
import { type Fields, filterFields } from './fields.ts'
import { discard } from './linger.ts'
import type { RequestHead } from './request-check.ts'

/** A request on HTTP/1.x. */
export class Http1Exchange implements Exchange {
  readonly connection: Connection
  readonly head: RequestHead
  readonly source: IncomingMessage
  bytes = 0
  status: number | undefined
  final = false
  fault: string | undefined
  onDrain: () => void = () => {}
  onClose: () => void = () => {}
  /** For the connection's queue: the next request may have its turn. */
  onDone: () => void = () => {}
  /** Set by the connection: this answer is to be the last. */
  isLast: () => boolean = () => false
  /** The request turned out unreadable while it waited for its turn. */
  unreadable: readonly [status: number, text: string] | undefined
  protected readonly response: ServerResponse
  #over = false

  constructor(
    connection: Connection,
    request: IncomingMessage,
    response: ServerResponse,
  ) {
    this.connection = connection
    this.source = request
    this.response = response
    this.head = {
      method: request.method as string,
      target: request.url as string,
      httpVersion: request.httpVersion,
      http2: false,
      fields: request.rawHeaders,
    }
    connection.exchanges.add(this)
    response.on('drain', () => this.onDrain())
    response.on('finish', () => this.#finish())
    connection.socket.once('close', this.#end)
  }

  get complete(): boolean {
    return this.source.complete
  }

  /** Nothing that came after this request on its connection is to be looked at. */
  get last(): boolean {
    return this.final || !this.response.shouldKeepAlive
  }

  get started(): boolean {
    return this.response.headersSent
  }

  continue(): void {
    this.response.writeContinue()
  }

  inform(status: number, fields: Fields): void {
    // Node has a call for one interim response only, and HTTP/1.0 knows none.
    if (status !== 103 || this.head.httpVersion !== '1.1') return
    const hints: Record<string, string | string[]> = { link: [] }
    filterFields(fields, (name, value) => {
      if (name === 'link') (hints['link'] as string[]).push(value)
      return false
    })
    if (hints['link']?.length) this.response.writeEarlyHints(hints)
  }

  respond(status: number, text: string, fields: Fields, last: boolean): void {
    if (this.final || this.isLast()) this.response.shouldKeepAlive = false
    // Node throws at a Trailer where there are no chunks to follow.
    const chunks = this.head.httpVersion === '1.1' && !fields.some(isContentLength)
    const said = chunks ? fields : filterFields(fields, name => name !== 'trailer')
    this.response.writeHead(status, text || STATUS_CODES[status], said as string[])
    this.status = status
    if (last) this.response.end()
    else process.nextTick(() => this.#flush())
  }

  write(chunk: Buffer): boolean {
    this.bytes += chunk.length
    return this.response.write(chunk)
  }

  end(trailers: Fields): void {
    if (trailers.length > 0 && this.response.chunkedEncoding) {
      const pairs: [string, string][] = []
      for (let i = 0; i < trailers.length; i += 2) {
        pairs.push([trailers[i] as string, trailers[i + 1] as string])
      }
      this.response.addTrailers(pairs)
    }
    this.response.end()
  }

  upgrade(_fields: Fields): Duplex {
    throw new Error('not an upgrade')
  }

  abort(): void {
    this.connection.socket.destroy()
  }

  /** A body that is long in coming must not hold back the header section. */
  #flush(): void {
    if (this.bytes === 0 && !this.response.writableEnded) this.response.flushHeaders()
  }

  #finish(): void {
    this.#end()
    // What is left of the request is read and dropped, within reason.
    const { socket } = this.connection
    if (!this.source.complete && !socket.destroyed) discard(this.source, socket)
  }

  readonly #end = (): void => {
    if (this.#over) return
    this.#over = true
    this.connection.socket.off('close', this.#end)
    this.connection.exchanges.delete(this)
    this.onClose()
    this.onDone()
  }
}

function isContentLength(part: string, i: number): boolean {
  return i % 2 === 0 && part.toLowerCase() === 'content-length'
}

/** A request that asked for another protocol. The parser has let go of its socket. */
export class Http1Upgrade extends Http1Exchange {
  readonly #early: Buffer

  constructor(
    connection: Connection,
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

  override upgrade(fields: Fields): Duplex {
    const { socket } = this.connection
    let head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n'
    for (let i = 0; i < fields.length; i += 2)
      head += `${fields[i]}: ${fields[i + 1]}\r\n`
    this.status = 101
    this.response.detachSocket(socket)
    socket.write(`${head}\r\n`, 'latin1')
    if (this.#early.length > 0) socket.unshift(this.#early)
    return socket
  }
}
