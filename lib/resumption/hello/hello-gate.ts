import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../clock.ts'
import type { ClientHello } from './client-hello.ts'
import { giveBytes } from './held-bytes.ts'
import { HelloReader } from './hello-reader.ts'
import type { HelloTimeouts, Waiting } from './hello-timeouts.ts'
import { type PlainHttp, readPlainHttp } from './plain-http.ts'
import { beginsWithProxyHeader } from './proxy-header.ts'
import { Shadow } from './shadow.ts'

export type HelloOutcome =
  | ReadOutcome
  /** The connection ends, with its hello or before it. It must be released all the same. */
  | { readonly kind: 'gone'; readonly reason: GoneReason }

/** All of it is here, and held. `hello` is undefined when the bytes were none. */
export interface ReadOutcome {
  readonly kind: 'read'
  readonly hello?: ClientHello
  readonly records: number
  /** The client takes this for a port of plain HTTP. */
  readonly plainHttp?: PlainHttp
  /** A balancer takes this for somebody who wants to be told of its client. */
  readonly proxyHeader?: true
}

export type GoneReason =
  /** Closed or reset without a byte: the health check of a load balancer, a port scan. */
  | 'probe'
  /** In the middle of its hello, or while the farm was asked. */
  | 'left'
  /** No whole hello in time. */
  | 'silent'

/** The code by which Node tells that a handshake took too long. */
export const handshakeTimedOut = 'ERR_TLS_HANDSHAKE_TIMEOUT'

/**
 * Holds a fresh connection until we know its ClientHello and what to say to it. Node's TLS takes
 * a connection away from its owner in the moment that it is given it: whatever the owner goes on
 * doing to the raw socket (resume, pause, listeners) has no effect on what TLS reads. So it is
 * here: bytes are taken where the socket takes them from the network, before its stream has them,
 * and TLS finds them although nobody else does. And a connection that ends meanwhile is given to
 * TLS in its last moment, so that the server tells of it as it always does.
 *
 * Calls back once with `read`, or `gone`; and after `read` with `gone` if it ends before it is
 * released.
 */
export class HelloGate implements Waiting {
  readonly #socket: Duplex
  readonly #callback: (outcome: HelloOutcome) => void
  readonly #timeouts: HelloTimeouts
  readonly #reader = new HelloReader()
  readonly #destroy: Shadow<Duplex['_destroy']>
  /** Other streams than Node's own sockets may have kept their `push` for themselves. */
  readonly #push: Shadow<Duplex['push']> | undefined
  #state: 'reading' | 'held' | 'dropping' | 'released' = 'reading'
  #silent = false
  /** What the owner had put back when it gave the connection away. */
  #putBack: readonly Buffer[]
  /** While an answer in clear is on its way: ends that. */
  #finish: (() => void) | undefined
  #dropped = 0

  constructor(
    socket: Duplex,
    timeouts: HelloTimeouts,
    callback: (outcome: HelloOutcome) => void,
  ) {
    this.#socket = socket
    this.#callback = callback
    this.#timeouts = timeouts
    timeouts.add(this)
    socket.on('error', this.#onError)
    socket.on('end', this.#onEnd)
    this.#destroy = new Shadow(socket, '_destroy', this.#onDestroy)
    if (socket instanceof Socket) this.#push = new Shadow(socket, 'push', this.#onPush)
    else {
      socket.on('readable', this.#drain)
      socket.on('close', this.#onEnd)
    }
    this.#putBack = socket.readableLength > 0 ? buffered(socket) : nothing
    // Not at once: the owner may put back what it has read, as TLS lets it.
    process.nextTick(this.#start)
  }

  get released(): boolean {
    return this.#state === 'released'
  }

  /** Lets `begin` give the connection to TLS, which reads what we have read, and goes on. */
  release(begin: () => void): void {
    const socket = this.#socket
    const held = this.#state === 'released' ? undefined : this.#reader.bytes
    this.#free()
    // What the owner put back and we have not taken must not flow away.
    if (socket.readableLength > 0) socket.pause()
    if (held === undefined || held.length === 0) begin()
    else giveBytes(socket, held, begin)
    // It hears of errors now, and an error unheard ends the process.
    socket.off('error', this.#onError)
  }

  /**
   * Ends the connection with an answer in clear. What the client still sends is dropped, since
   * a reset could overtake the answer (RFC 9112, 9.6). `done` when it is time to release it;
   * not called when it ends before.
   */
  answer(text: string, clock: Clock, done: () => void): void {
    this.#state = 'dropping'
    this.#timeouts.delete(this)
    const timer = clock.after(lingerTime, () => this.#finish?.())
    this.#finish = () => {
      this.#finish = undefined
      timer.cancel()
      if (this.#state === 'dropping') done()
    }
    this.#socket.end(text)
  }

  readonly #start = (): void => {
    const socket = this.#socket
    if (socket.readableLength > 0 || this.#putBack.length > 0) {
      // What it put back since then comes before.
      const chunks = [...buffered(socket), ...this.#putBack]
      this.#putBack = nothing
      if (this.#state === 'reading') this.#take(Buffer.concat(chunks))
    }
    if (this.#state === 'reading') socket.read(0)
  }

  readonly #drain = (): void => {
    if (!this.#isTaking) return
    for (const chunk of buffered(this.#socket)) this.#take(chunk)
    // An end without a byte before it is told to those who read.
    if (this.#isTaking) this.#socket.read(0)
  }

  /** In the place of the socket's own `push`, so that nothing reaches its stream. */
  readonly #onPush = (chunk: Buffer | null): boolean => {
    if (this.#state === 'released') {
      return this.#push?.before.call(this.#socket, chunk) ?? true
    }
    if (chunk === null) {
      this.#onEnd()
      return false
    }
    this.#take(chunk)
    return this.#isTaking
  }

  /** Else what comes waits for TLS. */
  get #isTaking(): boolean {
    return this.#state === 'reading' || this.#state === 'dropping'
  }

  #take(chunk: Buffer): void {
    if (this.#state === 'dropping') {
      this.#dropped += chunk.length
      if (this.#dropped > lingerBytes) this.#finish?.()
      return
    }
    const hello = this.#reader.push(chunk)
    if (this.#state !== 'reading') return
    if (hello === 'more') return
    const { records, bytes } = this.#reader
    const other = hello === 'other' ? readOther(bytes) : { hello }
    if (other === 'more') return
    this.#state = 'held'
    this.#timeouts.delete(this)
    this.#callback({ kind: 'read', records, ...other })
  }

  expire(): void {
    this.#silent = true
    this.#socket.destroy(
      Object.assign(new Error('TLS handshake timeout'), {
        code: handshakeTimedOut,
      }),
    )
  }

  readonly #onError = (error: Error): void => {
    this.#socket.destroy(error)
  }

  readonly #onEnd = (): void => {
    if (this.#finish !== undefined) this.#finish()
    else this.#socket.destroy()
  }

  /** However it comes to its end. The socket still has its handle, and TLS can take it. */
  readonly #onDestroy = (
    error: Error | null,
    callback: (error?: Error | null) => void,
  ): void => {
    const socket = this.#socket
    if (this.#state === 'released') {
      this.#destroy.before.call(socket, error, callback)
      return
    }
    const sentNothing = this.#reader.bytes.length === 0 && this.#dropped === 0
    const reason = this.#silent ? 'silent' : sentNothing ? 'probe' : 'left'
    this.#free()
    this.#callback({ kind: 'gone', reason })
    // TLS begins to read in the next tick, and a closed handle is EINVAL to it.
    process.nextTick(() => this.#destroy.before.call(socket, error, callback))
  }

  #free(): void {
    if (this.#state === 'released') return
    this.#state = 'released'
    this.#finish?.()
    this.#timeouts.delete(this)
    const socket = this.#socket
    socket.off('end', this.#onEnd)
    if (this.#push === undefined) {
      socket.off('close', this.#onEnd)
      socket.off('readable', this.#drain)
    }
    this.#push?.giveBack()
    this.#destroy.giveBack()
  }
}

/** What came in the place of a ClientHello, where that is known. */
function readOther(
  bytes: Buffer,
): Pick<ReadOutcome, 'plainHttp' | 'proxyHeader'> | 'more' {
  const proxyHeader = beginsWithProxyHeader(bytes)
  if (proxyHeader === true) return { proxyHeader }
  const plainHttp = readPlainHttp(bytes)
  if (proxyHeader === 'more' || plainHttp === 'more') return 'more'
  return plainHttp === undefined ? {} : { plainHttp }
}

/** All that the stream of the socket has. */
function buffered(socket: Duplex): Buffer[] {
  const chunks: Buffer[] = []
  while (socket.readableLength > 0) {
    const chunk: Buffer | string | null = socket.read()
    if (chunk === null) break
    chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
  }
  return chunks
}

const nothing: readonly Buffer[] = []

/** How long, and for how much, the answer in clear waits for the client to be done. */
const lingerTime = 2_000
const lingerBytes = 1024 * 1024
