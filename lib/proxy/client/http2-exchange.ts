import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { type Fields, filterFields, toHttp2Fields } from '../../http/fields.ts'
import type { RequestHead } from '../message/request-check.ts'
import type { ClientConnection } from './client-connection.ts'
import type { Exchange } from './exchange.ts'

/** Frames that wait for the client before interim responses are no longer added to them. */
const maxWaiting = 1_000

/** A request on a stream of HTTP/2. */
export class Http2Exchange implements Exchange {
  readonly connection: ClientConnection
  readonly head: RequestHead
  readonly source: ServerHttp2Stream
  bytes = 0
  status: number | undefined
  final = false
  fault: string | undefined
  onDrain: () => void = () => {}
  onClose: () => void = () => {}
  onOver: () => void = () => {}
  readonly #stream: ServerHttp2Stream
  #trailers: Fields = []
  #continued = false
  /** Nothing follows any more, whatever the backend goes on to say. */
  #bodiless = false
  #blocked = false
  #handedOver = false

  constructor(
    connection: ClientConnection,
    stream: ServerHttp2Stream,
    rawFields: Fields,
    endStream: boolean,
  ) {
    this.connection = connection
    this.source = stream
    this.#stream = stream
    this.head = readHead(rawFields, endStream)
    connection.exchanges.add(this)
    stream.on('error', () => {})
    stream.on('drain', () => {
      this.#blocked = false
      this.onDrain()
    })
    stream.on('close', () => {
      connection.exchanges.delete(this)
      this.onClose()
      this.onOver()
    })
  }

  get complete(): boolean {
    return this.#stream.readableEnded
  }

  get started(): boolean {
    return this.#stream.headersSent
  }

  get untaken(): number | undefined {
    return this.#blocked || this.#handedOver ? this.#stream.bufferSize : undefined
  }

  continue(): void {
    if (this.#continued) return
    this.#continued = true
    this.inform(100, [])
  }

  inform(status: number, fields: Fields): void {
    const { destroyed, closed, headersSent, session } = this.#stream
    if (destroyed || closed || headersSent) return
    // A client that takes nothing need not be told that there is more to come.
    if ((session?.state.outboundQueueSize ?? 0) > maxWaiting) return
    this.#stream.additionalHeaders({ ...toHttp2Fields(fields), ':status': status })
  }

  /** Its connections can't be gone on with by anybody else. */
  represents(): void {}

  respond(status: number, _text: string, fields: Fields, last: boolean): void {
    // RFC 9110 15.3.6. Node ends the stream with the header section of a 205 by itself.
    const bodiless = last || status === 205
    const said = status === 205 ? filterFields(fields, isNoLength) : fields
    this.#stream.respond(
      { ...toHttp2Fields(said), ':status': status },
      { endStream: bodiless, waitForTrailers: !bodiless },
    )
    this.status = status
    if (bodiless) {
      this.#bodiless = true
      this.#handedOver = true
      this.#letGo()
      return
    }
    this.#stream.once('wantTrailers', () => {
      this.#sendTrailers()
      this.#letGo()
    })
  }

  write(chunk: Buffer): boolean {
    if (this.#bodiless) return true
    this.bytes += chunk.length
    this.#blocked = !this.#stream.write(chunk)
    return !this.#blocked
  }

  end(trailers: Fields): void {
    if (this.#bodiless) return
    this.#trailers = trailers
    this.#handedOver = true
    this.#stream.end()
  }

  upgrade(fields: Fields): Duplex {
    this.#stream.respond({ ...toHttp2Fields(fields), ':status': 200 })
    this.status = 200
    return this.#stream
  }

  abort(): void {
    // Whatever is said from now on must not make it whole.
    this.#bodiless = true
    // Not at once: this may be inside an event of nghttp2. 'close' comes when the reset has been
    // written, which a client can prevent, so the stream is destroyed as well.
    setImmediate(() => {
      this.#reset(constants.NGHTTP2_INTERNAL_ERROR)
      this.#stream.destroy()
    })
  }

  /** Without a wait for its writes: a reset from within their callback may end the process. */
  breakOff(): void {
    this.abort()
  }

  /** The end of the answer is on its way. What is left of the request is nobody's any more. */
  #letGo(): void {
    if (this.head.endStream || this.#stream.readableEnded) this.#stream.resume()
    else setImmediate(this.#stop)
  }

  /** Node asks for them in an event of its own: what is thrown there would end the process. */
  #sendTrailers(): void {
    try {
      this.#stream.sendTrailers(toHttp2Fields(this.#trailers))
    } catch {
      this.fault = 'invalid-trailers'
      this.abort()
    }
  }

  /** RFC 9113 8.1: after a whole answer the client may be told to send no more. */
  readonly #stop = (): void => {
    const { closed } = this.#stream
    const { localClose, remoteClose } = this.#stream.state
    if (closed || remoteClose) {
      // A stream counts as open until its readable side has been read to the end.
      this.#stream.resume()
      return
    }
    // A reset overtakes what waits for a slow socket, and that was no whole answer then.
    if (localClose && this.#stream.writableFinished) {
      this.#reset(constants.NGHTTP2_NO_ERROR)
      this.#stream.resume()
    } else setTimeout(this.#stop, 20).unref()
  }

  /**
   * Of a stream that has been written to its end and is being read, Node puts a reset off until
   * something else has been written (nodejs/node#38964 has the reason), which may be never. So
   * something is.
   */
  #reset(code: number): void {
    const { session } = this.#stream
    this.#stream.close(code)
    if (session === undefined || session.destroyed) return
    if (session.closed) session.goaway()
    else session.ping(() => {})
  }
}

function isNoLength(name: string): boolean {
  return name !== 'content-length'
}

/** Pseudo-fields apart. nghttp2 has checked that there is one of each and that they lead. */
function readHead(rawFields: Fields, endStream: boolean): RequestHead {
  const pseudo = new Map<string, string>()
  const fields: string[] = []
  for (let i = 0; i < rawFields.length; i += 2) {
    const name = rawFields[i] as string
    const value = rawFields[i + 1] as string
    if (name.startsWith(':')) pseudo.set(name, value)
    else fields.push(name, value)
  }
  return {
    method: pseudo.get(':method') ?? '',
    target: pseudo.get(':path') ?? '',
    httpVersion: '2.0',
    http2: true,
    fields,
    scheme: pseudo.get(':scheme'),
    authority: pseudo.get(':authority'),
    protocol: pseudo.get(':protocol'),
    endStream,
  }
}
