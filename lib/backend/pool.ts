import { isIP } from 'node:net'
import type { Duplex, Readable } from 'node:stream'
import { buildConnector, type Dispatcher, errors, Pool } from 'undici'
import { ConnectionLost, LastBytes } from './last-bytes.ts'
import { mendParser, plainStatus } from './response-parser.ts'

/** One request to a backend. Header fields are flat: name, value, name, value. */
export interface BackendRequest {
  readonly method: string
  /** Origin form: starts with a slash. */
  readonly path: string
  readonly fields: readonly string[]
  readonly body: Readable | undefined
  /** The protocol to switch to, for an upgrade. */
  readonly upgrade: string | undefined
}

/** What becomes of a request. `onSend` may be missing before `onError`: nothing was sent then. */
export interface BackendHandler {
  /** A connection stands and the request is about to be written to it. */
  onSend(call: BackendCall): void
  /** An interim response: 100, 103 and so on, or what is none: a status below 100, or 101. */
  onInform(status: number, fields: string[]): void
  onResponse(status: number, text: string, fields: string[]): void
  onData(chunk: Buffer): void
  onEnd(trailers: string[]): void
  /** The backend switched protocols; the socket belongs to the handler now. */
  onUpgrade(fields: string[], socket: Duplex): void
  onError(error: Error): void
}

export interface BackendCall {
  /** Gives up: closes the connection the request is on. */
  abort(reason: Error): void
  /** No more `onData` until `resume`. */
  pause(): void
  resume(): void
}

export interface PoolOptions {
  /** PEM of the authorities for https. Default: those of Node. */
  readonly ca?: string | Buffer | undefined
  readonly connectTimeout: number
  readonly headersTimeout: number
  readonly bodyTimeout: number
  readonly maxHeaderBytes: number
}

/** Kept-alive connections to one origin, HTTP/1.1. The only file that knows undici. */
export class BackendPool {
  readonly #pool: Pool
  readonly #serverName: string

  constructor(origin: URL, options: PoolOptions) {
    const hostname = origin.hostname.replace(/^\[|\]$/g, '')
    this.#serverName = hostname
    const connect = buildConnector({
      timeout: options.connectTimeout,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    })
    this.#pool = new Pool(origin.origin, {
      headersTimeout: options.headersTimeout,
      bodyTimeout: options.bodyTimeout,
      maxHeaderSize: options.maxHeaderBytes,
      pipelining: 1,
      // Left alone, undici would take the TLS server name from the Host field, which is the
      // client's word. A backend is verified under its own name, and an address has none.
      connect: (target, callback) =>
        connect(
          {
            ...target,
            servername: isIP(hostname) ? undefined : hostname,
          } as typeof target,
          (error, socket) => {
            if (error !== null) return callback(error, null)
            lastBytes.set(socket, new LastBytes(socket))
            callback(null, socket)
            // By now undici has put its parser on the connection.
            return mendParser(socket)
          },
        ),
    })
  }

  send(request: BackendRequest, handler: BackendHandler): void {
    const options = {
      method: request.method as Dispatcher.HttpMethod,
      path: request.path,
      headers: request.fields as string[],
      body: request.body ?? null,
      upgrade: request.upgrade ?? null,
      // The same for all requests, else undici would reconnect whenever Host changes.
      servername: this.#serverName,
    }
    this.#pool.dispatch(options, new Call(handler))
  }

  /** Lets open requests finish. */
  async close(): Promise<void> {
    await this.#pool.close()
  }

  async destroy(): Promise<void> {
    await this.#pool.destroy()
  }
}

const lastBytes = new WeakMap<Duplex, LastBytes>()

/** One request on its way: undici's words into ours. */
class Call implements BackendCall, Dispatcher.DispatchHandler {
  readonly #handler: BackendHandler
  #controller: Dispatcher.DispatchController | undefined
  #status = 0

  constructor(handler: BackendHandler) {
    this.#handler = handler
  }

  abort(reason: Error): void {
    this.#controller?.abort(reason)
  }

  pause(): void {
    this.#controller?.pause()
  }

  resume(): void {
    this.#controller?.resume()
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    this.#handler.onSend(this)
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    _status: number,
    _fields: object,
    socket: Duplex,
  ): void {
    lastBytes.get(socket)?.release()
    this.#handler.onUpgrade(flatten(controller.rawHeaders), socket)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _fields: object,
    text?: string,
  ): void {
    this.#status = status
    const fields = flatten(controller.rawHeaders)
    if (status < 200) this.#handler.onInform(plainStatus(status), fields)
    else this.#handler.onResponse(status, text ?? '', fields)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // After a pause the parser tells what it has in hand, which may be nothing.
    if (chunk.length > 0) this.#handler.onData(chunk)
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    this.#handler.onEnd(flatten(controller.rawTrailers))
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    // undici misses the body whose length a 304 may tell, and never has (RFC 9110 8.6).
    const bodiless = this.#status === 304 || this.#status === 204
    if (bodiless && error instanceof errors.ResponseContentLengthMismatchError) {
      this.#handler.onEnd([])
    } else this.#handler.onError(error instanceof ConnectionLost ? error.reason : error)
  }
}

/**
 * Field values are bytes, not text: latin1 keeps each byte as it came. Blanks around a value are
 * no part of it (RFC 9110 5.5), and malformed in HTTP/2; the parser leaves those at the end.
 */
function flatten(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return []
  return raw.map((part, i) => {
    const text = typeof part === 'string' ? part : part.toString('latin1')
    return i % 2 === 1 ? withoutBlanks(text) : text
  })
}

function withoutBlanks(value: string): string {
  let from = 0
  let to = value.length
  while (from < to && isBlank(value.charCodeAt(from))) from++
  while (from < to && isBlank(value.charCodeAt(to - 1))) to--
  return to - from === value.length ? value : value.slice(from, to)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}
