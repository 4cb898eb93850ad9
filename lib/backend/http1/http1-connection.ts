import { isIP } from 'node:net'
import { buildConnector, Client, type Dispatcher } from 'undici'
import { type ProxyVersion, writeHeader } from '../../proxy-protocol/header.ts'
import { credentialsOf, type PoolOptions } from '../pool.ts'
import { raceTo } from '../race.ts'
import type { BackendRequest, BoundClient } from '../request.ts'
import { endpointsOf } from './announced-client.ts'
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

/** One client of undici, which has one connection at a time. With the connector, all of undici. */
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

  constructor(connector: Http1Connector, events: Http1ConnectionEvents) {
    this.#serverName = connector.serverName
    this.#events = events
    const client = connector.client(() => this.owner)
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

/**
 * How connections to one origin come to stand: to whichever of its addresses answers first, with
 * TLS under its own name, and with a header of the PROXY protocol before all else where there is
 * to be one.
 */
export class Http1Connector {
  readonly serverName: string
  readonly #origin: string
  readonly #address: string | undefined
  readonly #proxyProtocol: ProxyVersion | undefined
  readonly #connect: buildConnector.connector
  /** TCP alone, with the time limit of the other. */
  readonly #connectTcp: buildConnector.connector
  readonly #options: Client.Options

  constructor(origin: URL, options: PoolOptions) {
    this.serverName = origin.hostname.replace(/^\[|\]$/g, '')
    this.#origin = origin.origin
    this.#address = options.address
    this.#proxyProtocol = options.proxyProtocol
    this.#connectTcp = buildConnector({ timeout: options.connectTimeout })
    this.#connect = buildConnector({
      timeout: options.connectTimeout,
      ...credentialsOf(options),
    })
    this.#options = {
      headersTimeout: options.headersTimeout,
      bodyTimeout: options.bodyTimeout,
      maxHeaderSize: options.maxHeaderBytes,
      pipelining: 1,
      keepAliveTimeout: ownIdleTime,
    }
  }

  /** `owner`: whose it is by the time that it connects. */
  client(owner: () => BoundClient | undefined): Client {
    return new Client(this.#origin, {
      ...this.#options,
      connect: (target, done) => this.#connectTo(target, owner(), done),
    })
  }

  #connectTo(
    target: buildConnector.Options,
    owner: BoundClient | undefined,
    done: buildConnector.Callback,
  ): void {
    // Left alone, undici would take the TLS server name from the Host field, which is the
    // client's word. A backend is verified under its own name, and an address has none.
    const name = this.serverName
    const servername = isIP(name) ? undefined : name
    raceTo(
      this.#address ?? name,
      (hostname, connected) =>
        this.#connectFor(
          owner,
          { ...target, hostname, servername } as typeof target,
          connected as buildConnector.Callback,
        ),
      (error, socket) => {
        if (!socket) {
          done(error as Error, null)
          return
        }
        new LastBytes(socket)
        done(null, socket)
        // By now undici has put its parser on the connection.
        mendParser(socket)
      },
    )
  }

  /** With the header of the PROXY protocol before all else, where there is to be one. */
  #connectFor(
    owner: BoundClient | undefined,
    target: buildConnector.Options,
    done: buildConnector.Callback,
  ): unknown {
    const version = this.#proxyProtocol
    if (version === undefined) return this.#connect(target, done)
    const secure = target.protocol === 'https:'
    const port = target.port || (secure ? '443' : '80')
    const tcp = { ...target, protocol: 'http:', port }
    const attempt = new HeaderAttempt()
    attempt.at = this.#connectTcp(tcp, (error, socket) => {
      if (!socket) {
        done(error as Error, null)
        return
      }
      socket.write(writeHeader(version, endpointsOf(owner)))
      if (!secure) {
        attempt.at = undefined
        done(null, socket)
        return
      }
      attempt.at = this.#connect({ ...target, httpSocket: socket }, (...outcome) => {
        attempt.at = undefined
        done(...outcome)
      })
    }) as unknown
    return attempt
  }
}

/**
 * On its way: TCP, then TLS over it. What it became is not to be destroyed with it, and TCP not
 * from under TLS.
 */
class HeaderAttempt {
  at: unknown

  destroy(): void {
    ;(this.at as { destroy?(): void } | undefined)?.destroy?.()
  }
}
