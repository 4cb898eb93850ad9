import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { valuesOf } from '../../http/fields.ts'
import type { Limits } from '../options.ts'
import type { ClientConnection, OpenExchange } from './client-connection.ts'
import { answer, type Exchange } from './exchange.ts'
import { Http1Exchange, Http1Upgrade } from './http1-exchange.ts'
import { closeSoon } from './linger.ts'

/** Requests that a client may send ahead of their answers. */
const maxPipelined = 32

/** Bytes that are no request, or not in time. */
export interface Unreadable {
  readonly connection: ClientConnection
  readonly status: number
  readonly code: string
}

/**
 * HTTP/1.1 on connections that are handed in. Node's server does the reading and its time
 * limits; it never listens itself. Requests of one connection are passed on one at a time:
 * Node would start all that a client sends ahead at once.
 */
export class Http1 {
  readonly #server: Server
  readonly #onExchange: (exchange: Exchange) => void
  readonly #onUnreadable: (unreadable: Unreadable) => void
  readonly #queues = new WeakMap<Duplex, Http1Exchange[]>()
  readonly #connections = new WeakMap<Duplex, ClientConnection>()
  #draining = false
  /** The connections that are not written down are to end. */
  #drainsUnwritten = false

  constructor(
    limits: Limits,
    onExchange: (exchange: Exchange) => void,
    onUnreadable: (unreadable: Unreadable) => void,
  ) {
    this.#onExchange = onExchange
    this.#onUnreadable = onUnreadable
    this.#server = createServer({
      IncomingMessage: Request,
      // Our own check says the same with a body and a line in the log.
      requireHostHeader: false,
      insecureHTTPParser: false,
      maxHeaderSize: limits.maxHeaderBytes,
      // No limit on the whole request: a large upload takes as long as it takes.
      requestTimeout: 0,
      headersTimeout: limits.headersTimeout,
      keepAliveTimeout: limits.idleTimeout,
      connectionsCheckingInterval: Math.min(1_000, limits.headersTimeout),
    })
    // Node drops fields beyond 1 000 without a word; the limit on bytes is limit enough.
    this.#server.maxHeadersCount = 0
    for (const event of ['request', 'checkContinue', 'checkExpectation']) {
      this.#server.on(event, (request: IncomingMessage, response: ServerResponse) => {
        const connection = this.#of(request.socket)
        if (this.#isFull(connection)) return
        const exchange = new Http1Exchange(connection, request, response)
        // Node drops what it has read beyond the body of such a request: the next one might
        // begin anywhere.
        if ((request as Request)[upgradeAsked]) exchange.final = true
        this.#enqueue(exchange)
      })
    }
    this.#server.on('upgrade', (request, socket, head) =>
      this.#upgrade(request, socket, head),
    )
    this.#server.on('connect', (request, socket, head) =>
      this.#upgrade(request, socket, head),
    )
    this.#server.on('clientError', (error, socket) => this.#refuse(error, socket))
    // Node starts its clock for header time limits with this event. It never comes by itself
    // to a server whose connections are handed in.
    this.#server.emit('listening')
  }

  accept(connection: ClientConnection): void {
    const { socket } = connection
    const queue: Http1Exchange[] = []
    this.#connections.set(socket, connection)
    this.#queues.set(socket, queue)
    // This is how Node ends a connection after its last answer: too soon for a client that may
    // still send, see linger.ts.
    const { destroySoon } = socket
    socket.destroySoon = () => {
      if (queue[0]?.isClientDone !== true) {
        closeSoon(socket)
        return
      }
      // It may not take the very end, TLS's word for it, and nobody else would wait for that.
      connection.exchanges.add(endOf(socket))
      destroySoon.call(socket)
    }
    this.#server.emit('connection', socket)
    socket.once('close', () => {
      for (const exchange of [...queue]) exchange.close()
    })
  }

  setLimits(limits: Limits): void {
    this.#server.headersTimeout = limits.headersTimeout
    this.#server.keepAliveTimeout = limits.idleTimeout
    Object.assign(this.#server, { maxHeaderSize: limits.maxHeaderBytes })
  }

  /** Ends idle connections now and the others after their answer. */
  drain(): void {
    this.#draining = true
    this.#server.closeIdleConnections()
  }

  /** The same for those of them that nobody else could go on with; others go on. */
  drainUnwritten(connections: Iterable<ClientConnection>): void {
    this.#drainsUnwritten = true
    for (const { written, exchanges, socket } of connections) {
      if (written === undefined && exchanges.size === 0) closeSoon(socket)
    }
  }

  close(): void {
    // Stops the clock. It never listened, so there is nothing else to close.
    this.#server.close(() => {})
  }

  /** One request too many has come on this connection, and it is ended. */
  #isFull({ socket }: ClientConnection): boolean {
    const full = (this.#queues.get(socket)?.length ?? 0) >= maxPipelined
    if (full) socket.destroy()
    return full || socket.destroyed
  }

  #enqueue(exchange: Http1Exchange): void {
    const { socket } = exchange.connection
    const queue = this.#queues.get(socket) as Http1Exchange[]
    queue.push(exchange)
    const isLast = () =>
      this.#draining ||
      (this.#drainsUnwritten && exchange.connection.written === undefined)
    exchange.isLast = isLast
    exchange.onDone = () => {
      queue.shift()
      exchange.connection.written?.answered()
      // Nobody waits any more for what a client sent ahead before it left.
      const next = exchange.last || socket.destroyed ? undefined : queue[0]
      if (next !== undefined) this.#start(next)
      else if (isLast()) closeSoon(socket)
    }
    if (queue.length === 1) this.#start(exchange)
  }

  #start(exchange: Http1Exchange): void {
    const { connection, head } = exchange
    const queue = this.#queues.get(connection.socket)
    connection.written?.asked(head, () => (queue?.length ?? 0) > 1)
    if (exchange.unreadable === undefined) this.#onExchange(exchange)
    else answer(exchange, ...exchange.unreadable)
  }

  /** The parser has let go of the socket: answer or switch, then end. */
  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const connection = this.#of(socket)
    if (this.#isFull(connection)) return
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(connection.socket)
    this.#enqueue(new Http1Upgrade(connection, request, response, head))
  }

  /** What the parser could not read, or did not get in time. */
  #refuse(error: Error & { code?: string }, socket: Duplex): void {
    const code = error.code ?? error.name
    if (code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    const [status, text] = refusals[code] ?? [400, 'Bad Request']
    const queue = this.#queues.get(socket) ?? []
    const last = queue.at(-1)
    const connection = this.#of(socket)
    if (last === undefined) {
      sayLast(socket, status, text)
      this.#onUnreadable({ connection, status, code })
    } else if (last.complete) {
      // It is what follows that is bad: its answer has to wait for its turn.
      socket.removeAllListeners('data')
      const done = last.onDone
      last.onDone = () => {
        done()
        if (!last.last) sayLast(socket, status, text)
      }
      this.#onUnreadable({ connection, status, code })
    } else {
      last.unreadable = [status, text]
      last.final = true
      last.fault = code
      // In the middle of an answer there is no way to say it, nor to a client that has left.
      if (last.started || code === 'HPE_INVALID_EOF_STATE') socket.destroy()
      else if (queue.length === 1) answer(last, status, text)
    }
  }

  #of(socket: Duplex): ClientConnection {
    return this.#connections.get(socket) as ClientConnection
  }
}

function endOf(socket: Duplex): OpenExchange {
  return { fault: undefined, untaken: 0, abort: () => socket.destroy() }
}

const upgradeAsked = Symbol('upgradeAsked')

/**
 * Node asks a request whether it is an upgrade, and if so lets go of the connection with the
 * body unread, which would be taken for the new protocol. RFC 9110 7.8 lets the Upgrade of such
 * a request be ignored; only Node 24.9 can be told to (`shouldUpgradeCallback`). Where it does
 * not ask here the request is refused.
 */
class Request extends IncomingMessage {
  declare [upgradeAsked]: boolean | null

  get upgrade(): boolean {
    return (
      this[upgradeAsked] === true &&
      (this.method === 'CONNECT' || !announcesBody(this.rawHeaders))
    )
  }

  // A field of this class would not be there yet when the constructor of Node sets it.
  set upgrade(asked: boolean | null) {
    this[upgradeAsked] = asked
  }
}

function announcesBody(fields: readonly string[]): boolean {
  return (
    valuesOf(fields, 'transfer-encoding').length > 0 ||
    valuesOf(fields, 'content-length').some(length => Number(length) !== 0)
  )
}

const refusals: Readonly<Record<string, [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Content Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
}

/** An answer on a connection that has no request to answer to. */
export function sayLast(socket: Duplex, status: number, text: string): void {
  const body = `${status} ${text}\n`
  socket.write(
    `HTTP/1.1 ${status} ${text}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  )
  closeSoon(socket)
}
