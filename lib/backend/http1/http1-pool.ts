import { type Clock, systemClock } from '../../clock.ts'
import type { ProxyVersion } from '../../proxy-protocol/header.ts'
import { Connector } from '../connector.ts'
import { backendError } from '../failure.ts'
import { overCall, type Pool, type PoolCall, type PoolOptions } from '../pool.ts'
import type { BackendHandler, BackendRequest, BoundClient } from '../request.ts'
import { carriesConnectionLogin } from './connection-login.ts'
import { Http1Call } from './http1-call.ts'
import { Http1Connection, type Http1ConnectionEvents } from './http1-connection.ts'

/**
 * How long a connection waits for its next request in milliseconds, unless the backend says
 * less in Keep-Alive. Many servers wait for 5 s.
 */
const idleTime = 4_000

/** Connections that one client may keep to itself. More than one takes HTTP/2. */
const maxOwn = 8

/**
 * Kept-alive connections to one origin, HTTP/1.1.
 *
 * A connection is anybody's between two requests, until there is a log-in on it or an offer of
 * one that would hold for the connection: then it stays with that client until either ends it.
 * (undici's own Pool can't keep a connection apart.) One that begins with a header of the PROXY
 * protocol is its client's from the start.
 */
export class Http1Pool implements Pool, Http1ConnectionEvents {
  readonly #origin: URL
  readonly #options: PoolOptions
  readonly #connector: Connector
  readonly #proxyProtocol: ProxyVersion | undefined
  readonly #clock: Clock
  readonly #open = new Set<Http1Connection>()
  /** The one used last is used next, so that those too many grow old. */
  #idle: Http1Connection[] = []
  readonly #own = new WeakMap<BoundClient, Http1Connection[]>()
  #owners = 0
  #sweeping = false
  /** Connections are not kept any more. */
  #closed = false
  #destroyed = false

  constructor(origin: URL, options: PoolOptions) {
    this.#origin = origin
    this.#options = options
    this.#connector = new Connector(origin, options, 'http/1.1')
    this.#proxyProtocol = options.proxyProtocol
    this.#clock = options.clock ?? systemClock
  }

  /** `fresh`: on a new connection, for one that was kept alive may be dead. */
  send(request: BackendRequest, handler: BackendHandler, fresh: boolean): PoolCall {
    if (this.#destroyed) {
      process.nextTick(() => handler.onError(backendError('UND_ERR_CLOSED')))
      return overCall
    }
    const login = request.client !== undefined && carriesConnectionLogin(request.fields)
    const connection = this.#choose(request, login, fresh)
    const owner = login || this.#proxyProtocol !== undefined ? request.client : undefined
    if (owner !== undefined) this.#bind(connection, owner, login)
    const queued = connection.busy
    connection.busy = true
    connection.idle = false
    const call = new Http1Call(handler, connection, request.client)
    connection.send(request, call, login && request.method === 'HEAD')
    // undici found fault with the request at once: the connection has heard nothing of it.
    if (call.handOut() && !queued) this.onDrained(connection)
    return call
  }

  /** Whether this client has a log-in on a connection here. */
  holds(client: BoundClient): boolean {
    return (
      this.#owners > 0 && (this.#own.get(client)?.some(({ login }) => login) ?? false)
    )
  }

  /** Lets open requests finish, and those come that are on their way here already. */
  close(): void {
    this.#closed = true
    for (const connection of this.#open) if (connection.idle) this.#drop(connection)
  }

  async destroy(): Promise<void> {
    this.#closed = true
    this.#destroyed = true
    await Promise.all([...this.#open].map(connection => connection.destroy()))
  }

  #choose(
    { client, upgrade }: BackendRequest,
    login: boolean,
    fresh: boolean,
  ): Http1Connection {
    const own = client !== undefined && this.#owners > 0 ? this.#own.get(client) : []
    const free =
      own?.find(({ idle, login }) => idle && login) ?? this.#young(own ?? [], fresh)
    if (free !== undefined) return free
    // A log-in takes several requests, and all on one connection: better late than elsewhere.
    const last = own?.findLast(connection => connection.login)
    if (login && last !== undefined) return last
    const oldest = this.#clock.monotonic() - idleTime
    // A tunnel keeps its connection: one of its own from the start is never stale.
    while (!fresh && upgrade === undefined && this.#proxyProtocol === undefined) {
      const connection = this.#idle.pop()
      if (connection === undefined) break
      if (connection.idle && connection.since > oldest) return connection
      this.#drop(connection)
    }
    return this.#make()
  }

  /** Of a client's own without a log-in, one that is not stale; the others are let go. */
  #young(own: Http1Connection[], fresh: boolean): Http1Connection | undefined {
    const oldest = this.#clock.monotonic() - idleTime
    for (const connection of [...own]) {
      if (!connection.idle || connection.login) continue
      if (!fresh && connection.since > oldest) return connection
      this.#drop(connection)
    }
    return undefined
  }

  #make(): Http1Connection {
    const connection = new Http1Connection(
      this.#origin,
      this.#options,
      this.#connector,
      this,
    )
    this.#open.add(connection)
    return connection
  }

  /** For a connection. */
  onDisconnected(connection: Http1Connection): void {
    if (connection.idle) this.#drop(connection)
  }

  /** For a connection. */
  onFailed(connection: Http1Connection): void {
    this.#forget(connection)
  }

  /** For a connection. */
  onLogin(connection: Http1Connection, owner: BoundClient): void {
    this.#bind(connection, owner, true)
  }

  /** For a connection. */
  onDrained(connection: Http1Connection): void {
    if (connection.idle) return
    if (!connection.connected || this.#closed || !this.#open.has(connection)) {
      this.#drop(connection)
      return
    }
    connection.busy = false
    connection.idle = true
    connection.since = this.#clock.monotonic()
    if (connection.owner === undefined) {
      this.#idle.push(connection)
      this.#sweepLater(idleTime)
    } else if (
      connection.owner.destroyed ||
      (this.#own.get(connection.owner)?.length ?? 0) > maxOwn
    ) {
      this.#drop(connection)
    }
  }

  #sweepLater(time: number): void {
    if (this.#sweeping) return
    this.#sweeping = true
    this.#clock.after(time, () => this.#sweep())
  }

  /** Those that have waited longest come first. */
  #sweep(): void {
    this.#sweeping = false
    const oldest = this.#clock.monotonic() - idleTime
    const young = this.#idle.findIndex(({ idle, since }) => idle && since > oldest)
    const old = this.#idle.splice(0, young < 0 ? this.#idle.length : young)
    for (const connection of old) this.#drop(connection)
    const [first] = this.#idle
    if (first !== undefined) this.#sweepLater(first.since - oldest)
  }

  /** From now on a client's own. */
  #bind(connection: Http1Connection, owner: BoundClient, login: boolean): void {
    connection.login ||= login
    if (connection.owner !== undefined) return
    connection.owner = owner
    const own = this.#own.get(owner)
    if (own !== undefined) {
      own.push(connection)
      return
    }
    const first = [connection]
    this.#own.set(owner, first)
    this.#owners++
    owner.once('close', () => {
      this.#owners--
      this.#own.delete(owner)
      for (const each of first) if (each.idle) this.#drop(each)
    })
  }

  #drop(connection: Http1Connection): void {
    this.#forget(connection)
    connection.destroy().catch(() => {})
  }

  #forget(connection: Http1Connection): void {
    connection.idle = false
    this.#open.delete(connection)
    if (connection.owner === undefined) return
    const own = this.#own.get(connection.owner)
    const at = own?.indexOf(connection) ?? -1
    if (at >= 0) own?.splice(at, 1)
  }
}
