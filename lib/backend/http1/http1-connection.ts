import { Client, type Dispatcher } from 'undici'
import type { Connector } from '../connector.ts'
import type { PoolOptions } from '../pool.ts'
import type { BackendRequest, BoundClient } from '../request.ts'
import type { CallConnection, Http1Call } from './http1-call.ts'
import { LastBytes } from './last-bytes.ts'
import { mendParser } from './response-parser.ts'

/**
 * How long a connection lives without a request, in milliseconds, if the pool does not end it
 * before: one that is a client's own waits for as long as the client stays.
 */
const ownIdleTime = 24 * 3_600_000

export interface Http1ConnectionEvents {
  /** It has nothing to do. */
  onDrained(connection: Http1Connection): void
  /** It does not stand any more. */
  onDisconnected(connection: Http1Connection): void
  /** It can't be had. It is done with all that it was given, and can't be closed. */
  onFailed(connection: Http1Connection): void
  /** There is a log-in on it, or the offer of one. */
  onLogin(connection: Http1Connection, owner: BoundClient): void
}

/** One client of undici, which has one connection at a time. */
export class Http1Connection implements CallConnection {
  connected = false
  /** Has requests to see to. */
  busy = false
  /** Stands and waits for a request. */
  idle = false
  /** When it became idle. */
  since = 0
  served = 0
  /** The only one whose requests may come on it. */
  owner: BoundClient | undefined
  /** There is a log-in on it. */
  login = false
  readonly #client: Client
  readonly #serverName: string
  readonly #events: Http1ConnectionEvents

  constructor(
    origin: URL,
    options: PoolOptions,
    connector: Connector,
    events: Http1ConnectionEvents,
  ) {
    this.#serverName = connector.serverName
    this.#events = events
    const client = new Client(origin.origin, {
      headersTimeout: options.headersTimeout,
      bodyTimeout: options.bodyTimeout,
      maxHeaderSize: options.maxHeaderBytes,
      pipelining: 1,
      keepAliveTimeout: ownIdleTime,
      // Left alone, undici would take the TLS server name from the Host field, which is the
      // client's word, and connect without regard to who is slow.
      connect: (_target, done) => {
        // It may be a client's own by now.
        connector.connect(this.owner, (error, socket) => {
          if (!socket) {
            done(error as Error, null)
            return
          }
          new LastBytes(socket)
          done(null, socket)
          // By now undici has put its parser on the connection.
          mendParser(socket)
        })
      },
    })
    client.on('connect', () => {
      this.connected = true
      this.served = 0
    })
    client.on('disconnect', () => {
      this.connected = false
      events.onDisconnected(this)
    })
    client.on('connectionError', () => events.onFailed(this))
    client.on('drain', () => events.onDrained(this))
    this.#client = client
  }

  bind(owner: BoundClient): void {
    this.#events.onLogin(this, owner)
  }

  /**
   * `keepsHead`: after a HEAD undici would close, for fear of a body that is taken for another
   * answer.
   */
  send(request: BackendRequest, call: Http1Call, keepsHead: boolean): void {
    const options = {
      method: request.method as Dispatcher.HttpMethod,
      path: request.path,
      headers: request.fields as string[],
      body: request.body ?? null,
      upgrade: request.upgrade ?? null,
      // The same for all requests, else undici would reconnect whenever Host changes.
      servername: this.#serverName,
      ...(keepsHead ? { reset: false } : {}),
    }
    this.#client.dispatch(options, call)
  }

  async destroy(): Promise<void> {
    await this.#client.destroy()
  }
}
