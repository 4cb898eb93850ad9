import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { buildConnector, Client, type Dispatcher, errors } from 'undici'
import { type Clock, systemClock } from '../clock.ts'
import { type ProxyVersion, writeHeader } from '../proxy-protocol/header.ts'
import { endpointsOf } from './announced-client.ts'
import { carriesConnectionLogin, offersConnectionLogin } from './connection-login.ts'
import { ConnectionLost, LastBytes } from './last-bytes.ts'
import {
  credentialsOf,
  overCall,
  type Pool,
  type PoolCall,
  type PoolOptions,
} from './pool.ts'
import { raceTo } from './race.ts'
import type { BackendHandler, BackendRequest, BoundClient } from './request.ts'
import { fieldsOf } from './response-fields.ts'
import { mendParser, plainStatus } from './response-parser.ts'

/**
 * How long a connection waits for its next request in milliseconds, unless the backend says
 * less in Keep-Alive. Many servers wait for 5 s.
 */
const idleTime = 4_000

/** One that is a client's own waits for as long as the client stays. */
const ownIdleTime = 24 * 3_600_000

/** Connections that one client may keep to itself. More than one takes HTTP/2. */
const maxOwn = 8

/**
 * Kept-alive connections to one origin, HTTP/1.1. The only file that knows undici.
 *
 * A connection is anybody's between two requests, until there is a log-in on it or an offer of
 * one that would hold for the connection: then it stays with that client until either ends it.
 * (undici's own Pool can't keep a connection apart.) One that begins with a header of the PROXY
 * protocol is its client's from the start.
 */
export class Http1Pool implements Pool {
  readonly #origin: string
  readonly #serverName: string
  readonly #proxyProtocol: ProxyVersion | undefined
  /** TCP alone, with the time limit of the other. */
  readonly #connectTcp: buildConnector.connector
  readonly #address: string | undefined
  readonly #options: Client.Options
  readonly #connect: buildConnector.connector
  readonly #clock: Clock
  readonly #open = new Set<PooledConnection>()
  /** The one used last is used next, so that those too many grow old. */
  #idle: PooledConnection[] = []
  readonly #own = new WeakMap<BoundClient, PooledConnection[]>()
  #owners = 0
  #sweeping = false
  /** Connections are not kept any more. */
  #closed = false
  #destroyed = false

  constructor(origin: URL, options: PoolOptions) {
    const hostname = origin.hostname.replace(/^\[|\]$/g, '')
    this.#origin = origin.origin
    this.#serverName = hostname
    this.#address = options.address
    this.#clock = options.clock ?? systemClock
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

  /** `fresh`: on a new connection, for one that was kept alive may be dead. */
  send(request: BackendRequest, handler: BackendHandler, fresh: boolean): PoolCall {
    if (this.#destroyed) {
      process.nextTick(() => handler.onError(new errors.ClientClosedError()))
      return overCall
    }
    const login = request.client !== undefined && carriesConnectionLogin(request.fields)
    const connection = this.#choose(request, login, fresh)
    const owner = login || this.#proxyProtocol !== undefined ? request.client : undefined
    const options = {
      method: request.method as Dispatcher.HttpMethod,
      path: request.path,
      headers: request.fields as string[],
      body: request.body ?? null,
      upgrade: request.upgrade ?? null,
      // The same for all requests, else undici would reconnect whenever Host changes.
      servername: this.#serverName,
      // After a HEAD undici would close, for fear of a body that is taken for another answer.
      ...(login && request.method === 'HEAD' ? { reset: false } : {}),
    }
    if (owner !== undefined) this.#bind(connection, owner, login)
    const queued = connection.busy
    connection.busy = true
    connection.idle = false
    const call = new Call(handler, connection, request.client)
    connection.client.dispatch(options, call)
    // undici found fault with the request at once: the connection has heard nothing of it.
    if (call.handOut() && !queued) this.#drained(connection)
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
    await Promise.all([...this.#open].map(({ client }) => client.destroy()))
  }

  #choose(
    { client, upgrade }: BackendRequest,
    login: boolean,
    fresh: boolean,
  ): PooledConnection {
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
  #young(own: PooledConnection[], fresh: boolean): PooledConnection | undefined {
    const oldest = this.#clock.monotonic() - idleTime
    for (const connection of [...own]) {
      if (!connection.idle || connection.login) continue
      if (!fresh && connection.since > oldest) return connection
      this.#drop(connection)
    }
    return undefined
  }

  #make(): PooledConnection {
    const client = new Client(this.#origin, {
      ...this.#options,
      connect: (target, done) => this.#connectTo(target, connection.owner, done),
    })
    const connection: PooledConnection = new PooledConnection(client, owner =>
      this.#bind(connection, owner, true),
    )
    this.#open.add(connection)
    client.on('connect', () => {
      connection.connected = true
      connection.served = 0
    })
    client.on('disconnect', () => {
      connection.connected = false
      if (connection.idle) this.#drop(connection)
    })
    // In this state it can't be closed. It is done with all that it was given.
    client.on('connectionError', () => this.#forget(connection))
    client.on('drain', () => this.#drained(connection))
    return connection
  }

  #connectTo(
    target: buildConnector.Options,
    owner: BoundClient | undefined,
    done: buildConnector.Callback,
  ): void {
    // Left alone, undici would take the TLS server name from the Host field, which is the
    // client's word. A backend is verified under its own name, and an address has none.
    const name = this.#serverName
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
        lastBytes.set(socket, new LastBytes(socket))
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

  /** A connection has nothing to do. */
  #drained(connection: PooledConnection): void {
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
  #bind(connection: PooledConnection, owner: BoundClient, login: boolean): void {
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

  #drop(connection: PooledConnection): void {
    this.#forget(connection)
    connection.client.destroy().catch(() => {})
  }

  #forget(connection: PooledConnection): void {
    connection.idle = false
    this.#open.delete(connection)
    if (connection.owner === undefined) return
    const own = this.#own.get(connection.owner)
    const at = own?.indexOf(connection) ?? -1
    if (at >= 0) own?.splice(at, 1)
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

/** One client of undici, which has one connection at a time. */
class PooledConnection {
  readonly client: Client
  connected = false
  /** Has requests to see to. */
  busy = false
  /** Stands and waits for a request. */
  idle = false
  /** When it became idle. */
  since = 0
  /** Requests on the connection that stands now. */
  served = 0
  /** The only one whose requests may come on it. */
  owner: BoundClient | undefined
  /** There is a log-in on it. */
  login = false
  readonly bind: (owner: BoundClient) => void

  constructor(client: Client, bind: (owner: BoundClient) => void) {
    this.client = client
    this.bind = bind
  }
}

const lastBytes = new WeakMap<Duplex, LastBytes>()

/**
 * One request on its way: undici's words into ours. In the form of handler that undici has
 * inside: what translates the newer one reads all fields of a response into an object first.
 */
class Call implements PoolCall, Dispatcher.DispatchHandler {
  reused = false
  readonly #handler: BackendHandler
  readonly #connection: PooledConnection
  readonly #client: BoundClient | undefined
  #abort: ((reason: Error) => void) | undefined
  /** Given up before there was a connection. */
  #givenUp: Error | undefined
  #paused = false
  #resume: (() => void) | undefined
  #handedOut = false
  #refusal: Error | undefined

  constructor(
    handler: BackendHandler,
    connection: PooledConnection,
    client: BoundClient | undefined,
  ) {
    this.#handler = handler
    this.#connection = connection
    this.#client = client
  }

  /** The caller is about to have it; answers whether the request was refused already. */
  handOut(): boolean {
    this.#handedOut = true
    const refusal = this.#refusal
    if (refusal !== undefined) process.nextTick(() => this.#handler.onError(refusal))
    return refusal !== undefined && this.#abort === undefined
  }

  abort(reason: Error): void {
    if (this.#abort === undefined) this.#givenUp ??= reason
    else this.#abort(reason)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#resume?.()
  }

  onConnect(abort: (reason?: Error) => void): void {
    this.#abort = abort
    this.reused = this.#connection.served++ > 0
    if (this.#givenUp === undefined) this.#handler.onSend()
    else abort(this.#givenUp)
  }

  onUpgrade(_status: number, fields: Buffer[] | string[] | null, socket: Duplex): void {
    lastBytes.get(socket)?.release()
    this.#handler.onUpgrade(fieldsOf(fields), socket)
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void, text: string): boolean {
    this.#resume = resume
    const fields = fieldsOf(raw)
    if (this.#client !== undefined && offersConnectionLogin(status, fields)) {
      this.#connection.bind(this.#client)
    }
    if (status < 200) this.#handler.onInform(plainStatus(status), fields)
    else this.#handler.onResponse(status, text ?? '', fields)
    return !this.#paused
  }

  onData(chunk: Buffer): boolean {
    // After a pause the parser tells what it has in hand, which may be nothing.
    if (chunk.length > 0) this.#handler.onData(chunk)
    return !this.#paused
  }

  onComplete(trailers: string[] | null): void {
    this.#handler.onEnd(fieldsOf(trailers))
  }

  onError(error: Error): void {
    if (!this.#handedOut) this.#refusal = error
    else this.#handler.onError(error instanceof ConnectionLost ? error.reason : error)
  }
}
