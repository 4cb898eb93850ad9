import type { Clock, Timer } from '../../clock.ts'
import type { AskedRequest, BegunResponse } from '../../takeover/checkpoint/checkpoint.ts'
import type { ProtectedConnection } from '../../takeover/connection/protected-connection.ts'
import type { TakeoverCounters } from '../../takeover/takeover-counters.ts'
import type { ClientConnection } from './client-connection.ts'
import { ContinuedExchange, type ContinuedOutcome } from './continued-exchange.ts'
import type { Exchange } from './exchange.ts'
import { sayLast } from './http1.ts'
import { closeSoon } from './linger.ts'

/** Between two tries at backends of which none could say anything: it doubles, to a bound. */
const firstWait = 50
const longestWait = 1_000
/** From when a connection is adopted until its answer goes on, in milliseconds. */
const patience = 15_000

export interface AdoptedConnectionsOptions {
  readonly clock: Clock
  readonly counters: TakeoverCounters
  /** Serves one request. */
  readonly handle: (exchange: Exchange) => void
  /** Reads requests from now on. */
  readonly accept: (connection: ClientConnection) => void
  /** An idle connection is ended after so many milliseconds. */
  readonly idleTimeout: () => number
}

/** A connection that another process has begun. */
export interface AdoptedConnection {
  readonly connection: ClientConnection
  readonly transport: ProtectedConnection
}

/** An answer that another process has begun, and what of it is missing. */
interface BegunAnswer {
  readonly adopted: AdoptedConnection
  readonly request: AskedRequest
  readonly response: BegunResponse
  readonly missing: { readonly from: number; readonly length: number }
  /** Its connection ends with it. */
  readonly last: boolean
  /** It is given up then, in the clock's milliseconds. */
  readonly until: number
}

/** What another process owed its clients, until they may ask again. */
export class AdoptedConnections {
  readonly #options: AdoptedConnectionsOptions
  readonly #idle = new Set<ClientConnection>()
  #draining = false

  constructor(options: AdoptedConnectionsOptions) {
    this.#options = options
  }

  /** Ends those that are idle now, and the others after their answer. */
  drain(): void {
    this.#draining = true
    for (const { socket } of this.#idle) closeSoon(socket)
    this.#idle.clear()
  }

  /** Waits for its next request. A client that has just been answered is given time to ask. */
  idle({ connection }: AdoptedConnection): void {
    const { socket } = connection
    if (this.#draining) {
      closeSoon(socket)
      return
    }
    const { clock, idleTimeout, accept } = this.#options
    this.#idle.add(connection)
    const timer = clock.after(idleTimeout(), () => socket.destroy())
    const stop = () => {
      timer.cancel()
      this.#idle.delete(connection)
      socket.off('data', onData)
      socket.off('end', onEnd)
      socket.off('close', stop)
    }
    const onData = (chunk: Buffer) => {
      stop()
      socket.pause()
      socket.unshift(chunk)
      accept(connection)
      socket.resume()
    }
    const onEnd = () => socket.destroy()
    socket.on('close', stop)
    socket.on('end', onEnd)
    socket.on('data', onData)
  }

  /** Serves its request as if it had just come. */
  ask({ connection }: AdoptedConnection, request: AskedRequest, last: boolean): void {
    const { socket } = connection
    socket.unshift(requestBytes(request, last))
    this.#options.accept(connection)
    socket.resume()
  }

  /** Says that its request can't be answered, nor be asked again. */
  fail({ connection }: AdoptedConnection): void {
    sayLast(connection.socket, 502, 'Bad Gateway')
  }

  /** Goes on with its answer. */
  resume(
    adopted: AdoptedConnection,
    request: AskedRequest,
    response: BegunResponse,
    missing: { readonly from: number; readonly length: number },
    last: boolean,
  ): void {
    const { clock } = this.#options
    const until = clock.monotonic() + patience
    this.#goOn({ adopted, request, response, missing, last, until }, firstWait)
  }

  #goOn(answer: BegunAnswer, wait: number): void {
    const { clock, counters, handle } = this.#options
    const { adopted, request, response, missing, last, until } = answer
    const { connection } = adopted
    const { representation, planned } = response
    const exchange = new ContinuedExchange(connection, {
      request,
      representation,
      ...missing,
      onContinued: () => counters.count('resumed'),
      onOutcome: outcome => {
        if (outcome === 'whole') {
          connection.written?.answered()
          this.after(adopted, planned.keepAlive && !last)
        } else if (outcome === 'unavailable' && clock.monotonic() + wait < until) {
          let timer: Timer | undefined
          const gone = () => timer?.cancel()
          connection.socket.once('close', gone)
          timer = clock.after(wait, () => {
            connection.socket.off('close', gone)
            this.#goOn(answer, Math.min(longestWait, 2 * wait))
          })
        } else this.#reset(adopted, outcome)
      },
    })
    handle(exchange)
  }

  /** Its answer is whole. */
  after(adopted: AdoptedConnection, keepAlive: boolean): void {
    if (keepAlive) this.idle(adopted)
    else closeSoon(adopted.connection.socket)
  }

  #reset(
    { transport }: AdoptedConnection,
    why: Exclude<ContinuedOutcome, 'whole'>,
  ): void {
    if (why !== 'gone') this.#options.counters.count(why)
    // Not an end, which a client of HTTP/1.0 might take for that of the answer.
    transport.resetAndDestroy()
  }
}

/** As the client sent it, but that nothing is said of what comes after it where that is lost. */
function requestBytes(
  { method, target, httpVersion, fields }: AskedRequest,
  last: boolean,
): Buffer {
  let text = `${method} ${target} HTTP/${httpVersion}\r\n`
  for (let i = 0; i < fields.length; i += 2) {
    if (last && (fields[i] as string).toLowerCase() === 'connection') continue
    text += `${fields[i]}: ${fields[i + 1]}\r\n`
  }
  if (last) text += 'Connection: close\r\n'
  return Buffer.from(`${text}\r\n`, 'latin1')
}
