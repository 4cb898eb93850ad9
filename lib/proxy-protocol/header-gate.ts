import type { Socket } from 'node:net'
import type { Clock, Timer } from '../clock.ts'
import { Shadow } from '../resumption/hello/shadow.ts'
import type { Endpoints } from './endpoints.ts'
import { readHeader } from './header.ts'

export interface GateOptions {
  readonly clock: Clock
  /** Milliseconds from accept to the whole header. */
  readonly timeout: number
  /** Undefined where the connection's own ends are the right ones. */
  readonly onHeader: (endpoints: Endpoints | undefined) => void
  /** The connection is ended for it. `fault` is for the log. */
  readonly onFault: (fault: string) => void
  /** However it comes to its end. */
  readonly onOver: () => void
}

/**
 * Holds a fresh connection until the header before its first bytes is read, whatever the pieces
 * it comes in. Bytes are taken before the stream of the socket has them, for whoever is next
 * (our hello gate, Node's TLS, its HTTP parser) must find those behind the header, and nobody
 * else the header.
 */
export class HeaderGate {
  readonly #socket: Socket
  readonly #options: GateOptions
  readonly #push: Shadow<Socket['push']>
  readonly #timer: Timer
  #bytes: Buffer = Buffer.alloc(0)
  #over = false

  constructor(socket: Socket, options: GateOptions) {
    this.#socket = socket
    this.#options = options
    this.#timer = options.clock.after(options.timeout, () =>
      this.#fail('no whole header in time'),
    )
    socket.on('error', this.#onEnd)
    socket.on('close', this.#onEnd)
    this.#push = new Shadow(socket, 'push', this.#onPush)
  }

  /** To be called once: the header may be here already. */
  start(): void {
    const socket = this.#socket
    const put = socket.readableLength > 0 ? (socket.read() as Buffer | null) : null
    if (put === null) socket.read(0)
    else this.#take(put)
  }

  /** Ends the connection. */
  close(): void {
    if (this.#free()) this.#socket.destroy()
  }

  /** In the place of the socket's own `push`. */
  readonly #onPush = (chunk: Buffer | null): boolean => {
    if (this.#over) return this.#push.before.call(this.#socket, chunk)
    if (chunk === null) {
      this.#onEnd()
      return false
    }
    this.#take(chunk)
    return true
  }

  #take(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    const outcome = readHeader(this.#bytes)
    if (outcome === 'more') return
    if ('fault' in outcome) {
      this.#fail(outcome.fault)
      return
    }
    this.#free()
    const rest = this.#bytes.subarray(outcome.length)
    if (rest.length > 0) this.#socket.unshift(rest)
    this.#options.onHeader(outcome.endpoints)
    this.#socket.off('error', this.#onEnd)
  }

  #fail(fault: string): void {
    if (!this.#free()) return
    this.#options.onFault(fault)
    this.#socket.destroy()
  }

  /** Without a byte it is a balancer that looks whether we are there. */
  readonly #onEnd = (): void => {
    if (this.#over) return
    if (this.#bytes.length > 0) this.#fail('a connection that ended in it')
    else this.close()
  }

  /** False when it is over already. */
  #free(): boolean {
    if (this.#over) return false
    this.#over = true
    this.#timer.cancel()
    this.#socket.off('close', this.#onEnd)
    this.#push.giveBack()
    this.#options.onOver()
    return true
  }
}
