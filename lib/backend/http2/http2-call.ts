import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2'
import type { Clock } from '../../clock.ts'
import { filterFields, firstValueOf, toHttp2Fields } from '../../http/fields.ts'
import { backendError } from '../failure.ts'
import type { PoolCall, PoolOptions } from '../pool.ts'
import type { BackendHandler, BackendRequest } from '../request.ts'
import { fieldsOf } from '../response-fields.ts'

const { NGHTTP2_CANCEL, NGHTTP2_FLAG_END_STREAM, NGHTTP2_REFUSED_STREAM } = constants

/** One request on a stream of HTTP/2. Both sides may speak at a time. */
export class Http2Call implements PoolCall {
  reused = false
  /** When the backend last said or took something. */
  heardAt: number
  /** For the connection: it has nothing to do with this any more. */
  onOver: () => void = () => {}
  /** For the connection: this has ended before its time, and not by the backend. */
  onReset: () => void = () => {}
  readonly #request: BackendRequest
  readonly #handler: BackendHandler
  readonly #options: PoolOptions
  readonly #clock: Clock
  #stream: ClientHttp2Stream | undefined
  #trailers: string[] = []
  #responded = false
  /** The whole request has been handed over. */
  #asked = false
  #paused = false
  /** Whether the backend has said that its answer ends; undefined while it has not ended. */
  #whole: boolean | undefined
  #over = false

  constructor(
    request: BackendRequest,
    handler: BackendHandler,
    options: PoolOptions,
    clock: Clock,
  ) {
    this.#request = request
    this.#handler = handler
    this.#options = options
    this.#clock = clock
    this.heardAt = clock.monotonic()
  }

  begin(session: ClientHttp2Session, reused: boolean): void {
    this.reused = reused
    this.heardAt = this.#clock.monotonic()
    const { body } = this.#request
    let stream: ClientHttp2Stream
    try {
      stream = session.request(toHttp2(this.#request, session.encrypted === true), {
        endStream: body === undefined,
      })
    } catch (error) {
      // The session ended in this very moment, or the fields can't be said.
      const { code } = error as NodeJS.ErrnoException
      const ended =
        session.closed || session.destroyed || code === 'ERR_HTTP2_GOAWAY_SESSION'
      this.fail(
        backendError(ended ? 'UND_ERR_SOCKET' : 'UND_ERR_INVALID_ARG', String(error)),
      )
      return
    }
    this.#stream = stream
    // A handler may give up in here.
    this.#listen(stream)
    this.#handler.onSend()
    if (this.#over) return
    if (body === undefined) this.#asked = true
    else this.#sendBody(stream, body)
  }

  abort(reason: Error): void {
    this.fail(reason)
  }

  pause(): void {
    this.#paused = true
    this.#stream?.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    // Its silence was ours.
    this.heardAt = this.#clock.monotonic()
    this.#stream?.resume()
  }

  /** Over, with an error. Does nothing once it is. */
  fail(error: Error): void {
    if (this.#over) return
    this.#end()
    this.#handler.onError(error)
  }

  check(now: number): void {
    if (this.#over || this.#paused) return
    const { duplex } = this.#request
    if (this.#responded || duplex !== undefined) {
      const silence = duplex?.silence ?? this.#options.bodyTimeout
      if (now - this.heardAt > silence) this.fail(backendError('UND_ERR_BODY_TIMEOUT'))
    } else if (this.#isWaited && now - this.heardAt > this.#options.headersTimeout) {
      this.fail(backendError('UND_ERR_HEADERS_TIMEOUT'))
    }
  }

  /** It is the backend's turn: to answer, or to take more of the request. */
  get #isWaited(): boolean {
    return this.#asked || this.#stream?.writableNeedDrain === true
  }

  #listen(stream: ClientHttp2Stream): void {
    const { push } = stream
    // To Node a reset without an error is an end like any other: it closes the stream first.
    stream.push = (chunk, encoding) => {
      if (chunk === null) this.#whole ??= !stream.closed
      return push.call(stream, chunk, encoding)
    }
    stream.on('headers', ((_fields: object, _flags: number, raw: string[]) => {
      if (this.#over) return
      this.#heard()
      const [status, fields] = split(raw)
      this.#handler.onInform(status, fields)
    }) as () => void)
    stream.on('response', ((_fields: object, flags: number, raw: string[]) => {
      if (this.#over) return
      this.#heard()
      this.#responded = true
      const [status, fields] = split(raw)
      const last = (flags & NGHTTP2_FLAG_END_STREAM) !== 0
      this.#handler.onResponse(status, '', fields, last)
    }) as () => void)
    stream.on('data', (chunk: Buffer) => {
      if (this.#over) return
      this.#heard()
      this.#handler.onData(chunk)
    })
    stream.on('trailers', ((_fields: object, _flags: number, raw: string[]) => {
      this.#trailers = fieldsOf(raw)
    }) as () => void)
    stream.on('end', () => {
      // A connection that is closed, and a stream that is given up, end like a whole answer.
      if (this.#over || stream.rstCode !== 0 || this.#whole !== true) return
      this.#end()
      this.#handler.onEnd(this.#trailers)
    })
    stream.on('error', () => {})
    stream.on('close', () => this.#closed(stream))
    if (this.#paused) stream.pause()
  }

  #closed({ rstCode, errored }: ClientHttp2Stream): void {
    if (this.#over) return
    if (rstCode === NGHTTP2_REFUSED_STREAM) {
      // RFC 9113 8.7: it has not been looked at.
      this.fail(backendError('ERR_HTTP2_REFUSED', 'the backend refused the request'))
    } else if (rstCode === NGHTTP2_CANCEL && errored === null) {
      this.fail(backendError('UND_ERR_SOCKET', 'the backend closed the connection'))
    } else {
      const { code } = (errored ?? {}) as NodeJS.ErrnoException
      const lost = code === 'ECONNRESET' || code === 'EPIPE' || code === 'ETIMEDOUT'
      this.fail(
        lost
          ? (errored as Error)
          : backendError('ERR_HTTP2_STREAM_ERROR', `the backend reset it: ${rstCode}`),
      )
    }
  }

  #sendBody(stream: ClientHttp2Stream, body: NonNullable<BackendRequest['body']>): void {
    body.on('data', (chunk: Buffer) => {
      this.heardAt = this.#clock.monotonic()
      if (!this.#over && !stream.write(chunk)) body.pause()
    })
    stream.on('drain', () => {
      this.#heard()
      body.resume()
    })
    body.on('end', () => {
      this.#asked = true
      this.heardAt = this.#clock.monotonic()
      if (!this.#over) stream.end()
    })
    body.on('error', error => this.fail(error))
    // A call that did not come to send any of it has stopped it: a stop outlives who made it.
    body.resume()
  }

  #heard(): void {
    this.heardAt = this.#clock.monotonic()
  }

  #end(): void {
    this.#over = true
    const stream = this.#stream
    // An answer may be whole before its request is: the backend need not hear the rest.
    if (
      stream !== undefined &&
      !stream.closed &&
      !(this.#asked && stream.readableEnded)
    ) {
      stream.close(NGHTTP2_CANCEL)
      this.onReset()
    }
    this.#request.body?.pause()
    this.onOver()
  }
}

/** Fields that concern a connection of HTTP/1.1, or become pseudo-fields (RFC 9113 8.2.2). */
const notInHttp2: ReadonlySet<string> = new Set([
  'connection',
  'host',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

function toHttp2(
  { method, path, fields }: BackendRequest,
  encrypted: boolean,
): OutgoingHttpHeaders {
  const authority = firstValueOf(fields, 'host')
  return {
    ':method': method,
    ':scheme': encrypted ? 'https' : 'http',
    ':path': path,
    ...(authority === undefined ? {} : { ':authority': authority }),
    ...toHttp2Fields(filterFields(fields, name => !notInHttp2.has(name))),
  }
}

function split(raw: readonly string[]): [status: number, fields: string[]] {
  let status = 0
  const fields: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    if (raw[i] === ':status') status = Number(raw[i + 1])
    else fields.push(raw[i] as string, raw[i + 1] as string)
  }
  return [status, fieldsOf(fields)]
}
