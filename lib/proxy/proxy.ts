import { randomBytes } from 'node:crypto'
import type { Server as Listener } from 'node:net'
import { type AddressInfo, createServer as createListener, type Socket } from 'node:net'
import type { Server, TLSSocket } from 'node:tls'
import { addressList } from '../address-list.ts'
import type { Section } from '../admin/section/section.ts'
import { systemClock } from '../clock.ts'
import { LocalAffinity } from '../dispatch/affinity/affinity-table.ts'
import { Backends } from '../dispatch/backends.ts'
import { DispatchCounters } from '../dispatch/dispatch-counters.ts'
import { HandfastError } from '../errors.ts'
import { LimitCounters } from '../limit/limit-counters.ts'
import {
  type AcceptedProxyProtocol,
  acceptProxyProtocol,
} from '../proxy-protocol/accept-proxy-protocol.ts'
import type { CheckpointCounts } from '../takeover/checkpoint/checkpoints.ts'
import type { ProtectedConnection } from '../takeover/connection/protected-connection.ts'
import { TlsFront } from '../takeover/connection/tls-front.ts'
import { handleOf, type SystemHandle } from '../takeover/guardian/system-handle.ts'
import type { Holding, MovedConnection } from '../takeover/host/move/holding.ts'
import type { Inheritance, ProtectionOptions } from '../takeover/protection-options.ts'
import { createAccessLog } from './access-log.ts'
import { type ClientConnection, serverNameOf } from './client/client-connection.ts'
import { ClientConnections } from './client/client-connections.ts'
import { Http1 } from './client/http1.ts'
import { Http2 } from './client/http2.ts'
import { resolveLimits } from './limits.ts'
import type {
  Limits,
  ProxyOptions,
  ReloadOptions,
  RunningProxy,
  Site,
} from './options.ts'
import { Protection } from './protection.ts'
import { Tunnels } from './relay/tunnel.ts'
import { checkHealthPath } from './request/health-probe.ts'
import { RequestHandler, type Serving } from './request/request-handler.ts'
import { serveRoute } from './route/serve-route.ts'
import { backendsSection } from './section/backends.ts'
import { brokenResponsesSection } from './section/broken-responses.ts'
import { certificatesSection } from './section/certificates.ts'
import { connectionsSection } from './section/connections.ts'
import { hedgesSection } from './section/hedges.ts'
import { requestsSection } from './section/requests.ts'
import { Sites } from './sites.ts'
import { createTlsServer, setSites, socketOptions } from './tls-server.ts'
import { Traffic } from './traffic.ts'

/** Starts a proxy. Rejects when an option is bad or the port can't be had. */
export async function createProxy(options: ProxyOptions): Promise<RunningProxy> {
  const proxy = new HttpsProxy(options)
  await proxy.listen()
  return proxy
}

/** Milliseconds at the end of a drain in which WebSockets are told that they end. */
const longestFarewell = 1_000

/**
 * One plain TLS server in front; by ALPN it hands connections to an HTTP/1.1 and an HTTP/2
 * server that never listen. So each has limits of its own, a connection can be judged before
 * a byte of HTTP is read, and the TLS server is one that sessions can be shared for.
 */
class HttpsProxy implements RunningProxy {
  readonly #options: ProxyOptions
  readonly #server: Server
  /** Where clients come in: the TLS server itself, or what stands before it. */
  readonly #listener: Listener
  readonly #front: TlsFront | undefined
  readonly #protection: Protection | undefined
  readonly #proxyProtocol: AcceptedProxyProtocol
  readonly #http1: Http1
  readonly #http2: Http2
  readonly #handler: RequestHandler
  readonly #backends: Backends
  readonly #dispatched: DispatchCounters
  readonly #connections: ClientConnections
  readonly #traffic = new Traffic()
  readonly #tunnels = new Tunnels()
  #watch: NodeJS.Timeout | undefined
  #limits: Limits
  #sites: Sites
  #healthPath: string | undefined
  #stopped: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor(options: ProxyOptions) {
    this.#options = options
    this.#limits = resolveLimits(options.limits)
    this.#healthPath = checkHealthPath(options.healthPath)
    const trusts = addressList(options.trustedProxies ?? [], 'trustedProxies')
    const { limitCounters = new LimitCounters(systemClock, options.log) } = options
    this.#connections = new ClientConnections({
      limits: this.#limits,
      limitCounters,
      trusts,
    })
    this.#dispatched = new DispatchCounters(systemClock, options.log)
    this.#backends = new Backends(
      options.log,
      this.#dispatched,
      options.places ?? new LocalAffinity(randomBytes(32)),
      options.drains,
      options.healthBoard,
    )
    this.#sites = this.#sitesOf(options.sites, this.#limits)
    this.#handler = new RequestHandler(
      () => this.#serving(),
      options.notReady ?? (() => undefined),
      trusts,
      options.log,
      createAccessLog(options.accessLog, options.log, trusts),
      limitCounters,
      this.#traffic,
      this.#tunnels,
      this.#limits,
    )
    this.#http1 = new Http1(
      this.#limits,
      exchange => this.#handler.handle(exchange),
      unreadable => this.#handler.unreadable(unreadable),
    )
    this.#http2 = new Http2(
      this.#limits,
      exchange => this.#handler.handle(exchange),
      unreadable => this.#handler.unreadable(unreadable),
    )
    this.#server = createTlsServer({
      options,
      sites: () => this.#sites,
      handshakeTimeout: this.#limits.headersTimeout,
      accept: socket => this.#onSecure(socket),
    })
    this.#protection = options.protection && this.#protectionOf(options.protection)
    this.#front = this.#protection && new TlsFront(this.#server)
    this.#listener =
      this.#front === undefined ? this.#server : this.#standBefore(this.#front)
    this.#listener.maxConnections = this.#limits.maxConnections
    this.#listener.prependListener('connection', socket =>
      this.#connections.track(socket),
    )
    this.#listener.on('drop', dropped =>
      this.#connections.tooMany(dropped?.remoteAddress ?? ''),
    )
    this.#proxyProtocol = acceptProxyProtocol(this.#listener, {
      from: options.proxyProtocol ?? [],
      log: options.log,
    })
    this.#watchConnections()
    this.#warn()
  }

  get host(): string {
    return this.#options.host ?? (this.#listener.address() as AddressInfo).address
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port
  }

  listen(): Promise<void> {
    const { host, port } = this.#options
    return new Promise((resolve, reject) => {
      this.#listener.once('error', error => {
        void this.close()
        reject(error)
      })
      this.#listener.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
        this.#listener.removeAllListeners('error')
        this.#listener.on('error', error =>
          this.#options.log.error({ error: String(error) }),
        )
        resolve()
      })
    })
  }

  reload(options: ReloadOptions): void {
    if (this.#closed !== undefined) {
      throw new HandfastError('ERR_HANDFAST_CLOSED', 'the proxy is closed')
    }
    // Whatever may throw comes first: then nothing has changed.
    const limits = resolveLimits(options.limits)
    const healthPath = checkHealthPath(options.healthPath)
    const { proxyProtocol = [] } = options
    addressList(proxyProtocol, 'proxyProtocol')
    this.#sites = this.#sitesOf(options.sites, limits)
    this.#healthPath = healthPath
    this.#proxyProtocol.setFrom(proxyProtocol)
    this.#limits = limits
    this.#handler.setLimits(limits)
    this.#traffic.keep(this.#sites.all.map(({ label }) => label))
    this.#http1.setLimits(limits)
    this.#http2.setLimits(limits)
    this.#watchConnections()
    this.#listener.maxConnections = limits.maxConnections
    this.#connections.setLimits(limits)
    setSites(this.#server, this.#options, this.#sites)
    this.#warn()
  }

  serves(hostname: string): boolean {
    return this.#sites.find(hostname) !== undefined
  }

  async drain(): Promise<void> {
    if (this.#closed !== undefined) return this.#closed
    const stopped = this.#stop()
    this.#http1.drain()
    this.#http2.drain()
    this.#protection?.drain()
    const { drainTimeout } = this.#limits
    let timer: NodeJS.Timeout | undefined
    const end = stopped.then(() => true)
    const within = (ms: number) =>
      new Promise<boolean>(resolve => {
        timer = setTimeout(() => resolve(false), ms)
      })
    const farewell = Math.min(longestFarewell, drainTimeout / 10)
    if (!(await Promise.race([end, within(drainTimeout - farewell)]))) {
      this.#tunnels.leave()
      await Promise.race([end, within(farewell)])
    }
    clearTimeout(timer)
    await this.close()
  }

  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  adopt(handle: SystemHandle, checkpoint: Buffer): boolean {
    if (this.#protection !== undefined && this.#closed === undefined) {
      return this.#protection.adopt(handle, checkpoint)
    }
    handle.close()
    return false
  }

  leave(held: ReadonlySet<string>): void {
    this.#protection?.leave(held)
  }

  inherit(socket: Socket, checkpoint: Buffer, at: Inheritance): boolean {
    if (this.#protection !== undefined && this.#closed === undefined) {
      return this.#protection.inherit(socket, checkpoint, at)
    }
    socket.destroy()
    return false
  }

  silence(address: string): void {
    this.#protection?.silence(address)
  }

  holding(address: string): Holding | undefined {
    if (this.#protection === undefined || this.#closed !== undefined) return undefined
    this.#http1.drainUnwritten(this.#connections.established)
    const listener = handleOf(this.#listener)?.fd
    return this.#protection.holding(address, listener, () => this.#connections.sockets)
  }

  holdingOf(id: string): Holding | undefined {
    return this.#closed === undefined ? this.#protection?.holdingOf(id) : undefined
  }

  movable(): readonly MovedConnection[] {
    return this.#protection?.movable() ?? []
  }

  protectedNow(): CheckpointCounts {
    return this.#protection?.counts() ?? { connections: 0, answers: 0 }
  }

  stats(): { readonly connections: number; readonly requests: number } {
    return { connections: this.#connections.sockets.size, requests: this.#traffic.total }
  }

  get sections(): readonly Section[] {
    return [
      requestsSection(this.#traffic),
      connectionsSection(() => this.#connections.counts()),
      backendsSection(() => this.#backends.all()),
      brokenResponsesSection(this.#dispatched),
      hedgesSection(this.#dispatched),
      certificatesSection(() =>
        this.#sites.all.map(({ names, notAfter }) => ({ names, notAfter })),
      ),
    ] as unknown as Section[]
  }

  #serving(): Serving {
    return { sites: this.#sites, limits: this.#limits, healthPath: this.#healthPath }
  }

  #sitesOf(sites: readonly Site[], limits: Limits): Sites {
    return this.#backends.rebuild(
      dispatcherTo => new Sites(sites, serveRoute(dispatcherTo, limits)),
    )
  }

  /** Its handshake is done. */
  #onSecure(socket: TLSSocket): void {
    if (this.#front === undefined) this.#accept(socket)
    else this.#front.take(socket, taken => this.#taken(socket, taken))
  }

  #protectionOf(options: ProtectionOptions): Protection {
    return new Protection(options, {
      admit: transport => {
        this.#connections.track(transport.transport)
        if (transport.destroyed) return undefined
        // A revocation has to end it, too.
        this.#front?.adopt(transport)
        return this.#connectionOf(asSocket(transport))
      },
      handle: exchange => this.#handler.handle(exchange),
      accept: connection => this.#http1.accept(connection),
      idleTimeout: () => this.#limits.idleTimeout,
    })
  }

  /** TLS makes the handshakes, and is given no connection of its own for that. */
  #standBefore(front: TlsFront): Listener {
    const listener = createListener(socketOptions)
    listener.on('connection', socket => {
      if (!socket.destroyed) front.accept(socket)
    })
    return listener
  }

  /** What was not taken is served as without protection. */
  #taken(socket: TLSSocket, taken: ProtectedConnection | undefined): void {
    if (taken === undefined) {
      if (!socket.destroyed) this.#accept(socket)
      return
    }
    const connection = this.#connectionOf(asSocket(taken))
    this.#protection?.begin(connection, taken)
    this.#http1.accept(connection)
  }

  #warn(): void {
    if (!this.#sites.needsServerName) return
    this.#options.log.warn(
      {},
      'certificates of sites differ in key type: with this version of Node, clients that ' +
        'send no server name are refused',
    )
  }

  /** One clock for all connections: those that are late are few. */
  #watchConnections(): void {
    clearInterval(this.#watch)
    const { idleTimeout, bodyTimeout } = this.#limits
    const period = Math.min(1_000, Math.ceil(Math.min(idleTimeout, bodyTimeout) / 4))
    this.#watch = setInterval(() => {
      const now = systemClock.monotonic()
      this.#http2.check(now)
      this.#connections.check(now, this.#limits.bodyTimeout)
    }, period).unref()
  }

  #accept(socket: TLSSocket): void {
    const connection = this.#connectionOf(socket)
    const server = connection.http2 ? this.#http2 : this.#http1
    server.accept(connection)
  }

  #connectionOf(socket: TLSSocket): ClientConnection {
    const site = this.#sites.forHandshake(serverNameOf(socket))
    return this.#connections.establish(socket, site.certificatePolicy)
  }

  /** No new connections from now on. Resolves when the last one has ended. */
  #stop(): Promise<void> {
    this.#stopped ??= new Promise(resolve => this.#listener.close(() => resolve()))
    return this.#stopped
  }

  async #end(): Promise<void> {
    const stopped = this.#stop()
    clearInterval(this.#watch)
    this.#http1.close()
    this.#front?.close()
    this.#protection?.close()
    this.#proxyProtocol.close()
    await Promise.all([stopped, this.#connections.destroy(), this.#backends.destroy()])
    this.#options.sessions.detach(this.#server)
  }
}

/** It has all of one that anything here asks for. */
function asSocket(connection: ProtectedConnection): TLSSocket {
  return connection as unknown as TLSSocket
}
