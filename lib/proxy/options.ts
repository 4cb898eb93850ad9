import type { Socket } from 'node:net'
import type { Server } from 'node:tls'
import type { Section } from '../admin/section/section.ts'
import type { Answer } from '../auth/decision.ts'
import type { AuthRequest } from '../auth/request/request.ts'
import type { BackendProtocol } from '../backend/backend.ts'
import type { HealthBoard } from '../backend/health/health-board.ts'
import type { HealthSettings } from '../backend/health/options.ts'
import type { AffinityTable } from '../dispatch/affinity/affinity-table.ts'
import type { AffinityOptions } from '../dispatch/affinity/options.ts'
import type { Drains } from '../dispatch/drains.ts'
import type { HedgeOptions } from '../dispatch/hedge/options.ts'
import type { BackendTarget } from '../dispatch/options.ts'
import type { Priority } from '../dispatch/queue/urgency.ts'
import type { ResumeSettings } from '../dispatch/resumed-response/options.ts'
import type { RetrySettings } from '../dispatch/retry/options.ts'
import type { SelectionOptions } from '../dispatch/selection/create-selection.ts'
import type { Fields } from '../http/fields.ts'
import type { LimitCounters } from '../limit/limit-counters.ts'
import type { Log } from '../log.ts'
import type { ProxyVersion } from '../proxy-protocol/header.ts'
import type { ResumptionMode } from '../resumption/session/policy.ts'
import type { CheckpointCounts } from '../takeover/checkpoint/checkpoints.ts'
import type { SystemHandle } from '../takeover/guardian/system-handle.ts'
import type { Holding, MovedConnection } from '../takeover/host/move/holding.ts'
import type { Inheritance, ProtectionOptions } from '../takeover/protection-options.ts'

/** What a proxy needs from the farm: its servers' sessions are shared once attached. */
export interface SessionSharing {
  /**
   * Called once, before the server listens. The proxy picks certificates with one SNICallback
   * over a table that a reload swaps as a whole, so `addContext` is never called; `policyOf`
   * tells what a session made under a name depends on.
   */
  attach(server: Server, options: AttachOptions): void
  detach(server: Server): void
}

export interface AttachOptions {
  /**
   * A digest of all that decides whether a session may resume under the name: certificate,
   * client authorities, demand for a client certificate. Changes when any of them does, and
   * only then. The name may be empty (no SNI) or unknown: then that of the default site.
   */
  policyOf(serverName: string): string
  /** Nothing but what `policyOf` tells counts: each name has a certificate of its own. */
  readonly policyIsWhole: true
  /** What the site of the name wants, asked at each handshake. */
  resumption(serverName: string): ResumptionMode
}

/** Knows who makes a request; `AuthAuthorizer` is the usual one. */
export interface Authorizer {
  /** Asked before a backend hears of the request. Never rejects, and never takes for ever. */
  authorize(request: AuthRequest): Promise<Authorization>
  /**
   * Names of fields by which backends may know the user besides the usual ones, in lower case
   * and with any sign as `-`: what clients say in them is dropped.
   */
  readonly ownFields?: ReadonlySet<string> | undefined
}

export type Authorization =
  | {
      readonly outcome: 'allowed'
      /** For the access log; undefined when nobody is logged in and that is allowed. */
      readonly user: string | undefined
      /** What the backend is told of the user, in place of whatever the client said. */
      readonly fields: Fields
    }
  | { readonly outcome: 'answered'; readonly answer: Answer }

/**
 * Where requests go, and on what terms: of a site, and of each of its routes. A route takes from
 * its site whatever it does not say itself.
 */
export interface Handling extends SelectionOptions {
  /** URLs, or more than that of each. */
  readonly backends?: readonly (string | BackendTarget)[] | undefined
  /** PEM of the authorities for https backends. Default: those of Node. */
  readonly backendCa?: string | Buffer | undefined
  /** PEM of the certificate that https backends are shown if they ask, and of its key. */
  readonly backendCert?: string | Buffer | undefined
  readonly backendKey?: string | Buffer | undefined
  /** What backends are spoken to in. Default `http1`; gRPC needs `http2`. */
  readonly backendProtocol?: BackendProtocol | undefined
  /**
   * Each connection to a backend begins with a header of the PROXY protocol that names the client,
   * and serves no other. Not with a `backendProtocol` of `http2`. Default: none.
   */
  readonly backendProxyProtocol?: ProxyVersion | undefined
  /** When a request is sent once more. */
  readonly retries?: RetrySettings | undefined
  /**
   * A second backend is asked beside the first when that is slow to answer a request that changes
   * nothing. Not with `affinity`. Default: `off`.
   */
  readonly hedging?: HedgeOptions | 'off' | undefined
  /** When a backend is passed over. */
  readonly health?: HealthSettings | undefined
  /** How a response goes on at another backend when the one that gave it dies. Default: so. */
  readonly resumeResponses?: ResumeSettings | undefined
  /** Asked about each request; `none`: whoever comes is served. Default: of a site, none. */
  readonly authorizer?: Authorizer | 'none' | undefined
  /** In place of the proxy's. */
  readonly limits?: OwnLimits | undefined
  /** Whether a client that comes again goes to the backend it went to before. Default: no. */
  readonly affinity?: AffinityOptions | undefined
  /**
   * `secure`: what belongs together goes to one backend, by the TLS session unless `affinity`
   * says otherwise. `plain`: each request for itself, even where the site has `affinity`.
   */
  readonly class?: 'secure' | 'plain' | undefined
  /**
   * Taken off the path before a backend sees it, and told in `X-Forwarded-Prefix`. What the
   * response names in Location, Content-Location, Link and paths of cookies gets it back.
   */
  readonly stripPath?: string | undefined
  /** Put before the path. */
  readonly addPath?: string | undefined
  /** Not of fields that frame a message, concern a connection, or say who asks and how. */
  readonly requestHeaders?: HeaderChanges | undefined
  readonly responseHeaders?: HeaderChanges | undefined
  /**
   * `adaptive`: how many requests a backend has at a time follows from how long it takes, with
   * `maxBackendRequests` the most. Default `fixed`: that many.
   */
  readonly concurrency?: 'fixed' | 'adaptive' | undefined
  /** Who goes first where requests wait for a backend. Default: all the same. */
  readonly queue?: QueueHandling | undefined
}

/** Of header fields: what is set takes the place of what is there. */
export interface HeaderChanges {
  readonly set?: Readonly<Record<string, string>> | undefined
  readonly remove?: readonly string[] | undefined
}

export interface RedirectOptions {
  /** A URL or a path. */
  readonly to: string
  /** 301, 302, 303, 307 or 308. Default 308: for good, with method and body. */
  readonly status?: number | undefined
  /** Whether what is below the path of the route, and the query, go along. Default false. */
  readonly keepPath?: boolean | undefined
}

/** How requests stand beside others that wait for the same backend. */
export interface QueueRank {
  /** Strictly in this order, but nothing waits for ever. Default `normal`. */
  readonly priority?: Priority | undefined
  /** Turns beside other classes of the same priority, 1 to 100. Default 1. */
  readonly weight?: number | undefined
}

export interface QueueHandling extends QueueRank {
  /** Requests that stand otherwise: the first that fits. */
  readonly classes?: readonly QueueClass[] | undefined
}

export interface QueueClass extends QueueRank {
  /** Names of users, as the log-in has found them. */
  readonly users?: readonly string[] | undefined
  /** Values of fields by name, to the letter; `*` for any. All must fit. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** Which requests a route takes: those for which all hold that are given. */
export interface RouteMatch {
  /**
   * The path and all below it: `/shop` takes `/shop` and `/shop/cart`, not `/shopping`. With a
   * star at the end, `/shop*`, whatever begins so.
   */
  readonly path?: string | undefined
  /** This very path. */
  readonly exact?: string | undefined
  /** Any of them. GET stands for HEAD as well. */
  readonly methods?: readonly string[] | undefined
  /** Values of fields by name, to the letter; `*` for any. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** Requests of a site that go another way than the rest. */
export interface Route extends Handling {
  readonly match: RouteMatch
  /** Where clients are sent instead; nobody is asked who they are. */
  readonly redirect?: RedirectOptions | undefined
}

/** A server name, the certificate it shows, and where its requests go. */
export interface Site extends Handling {
  /** Host names, `*.example.com` allowed. Empty: the default site, for every other name. */
  readonly names: readonly string[]
  /** PEM. */
  readonly key: string | Buffer
  /** PEM, leaf first. */
  readonly cert: string | Buffer
  /** PEM of the authorities that client certificates are checked against. */
  readonly clientCa?: string | Buffer | undefined
  /** `off` (default), `optional`: ask and pass on the outcome, `required`: refuse without. */
  readonly clientCertificate?: 'off' | 'optional' | 'required' | undefined
  /** The first that takes a request has it; one that none takes is the site's own. */
  readonly routes?: readonly Route[] | undefined
  /** What TLS sessions made for these names may do. Default `auto`. */
  readonly resumption?: ResumptionMode | undefined
}

/** All limits; defaults and ranges are in lib/proxy/limits.ts. Times in milliseconds. */
export interface Limits {
  /** Client must have sent its request headers within. Default 15 000. */
  readonly headersTimeout: number
  /** Longest standstill of the client while it sends a body or takes an answer. Default 60 000. */
  readonly bodyTimeout: number
  /** Idle kept-alive connection is closed after. Default 60 000. */
  readonly idleTimeout: number
  /** Backend must accept the connection within. Default 5 000. */
  readonly connectTimeout: number
  /** Backend must send its response headers within, else 504. Default 60 000. */
  readonly backendHeadersTimeout: number
  /** Longest silence of the backend inside a body. Default 60 000. */
  readonly backendBodyTimeout: number
  /**
   * From when the header section of a request is there until the last byte of its answer, waiting
   * and trying again included; then 504, or a cut where the answer has begun. An open WebSocket is
   * not ended. Default 0: no limit.
   */
  readonly requestTimeout: number
  /**
   * A backend must have begun to answer within, from when it is chosen, connecting included; then
   * another one is asked if that does no harm, else 504. Default 0: no limit but those above.
   */
  readonly tryTimeout: number
  /** Longest silence in both directions of a WebSocket. Default 3 600 000. */
  readonly tunnelTimeout: number
  /**
   * Bytes of a header section, as HTTP/1.1 has them. Default 16 384; beyond it 431, or 502 where it
   * is the answer of a backend.
   */
  readonly maxHeaderBytes: number
  /** Request body bytes, 0 for no limit. Default 0; beyond it 413. */
  readonly maxBodyBytes: number
  /** Open client connections. Default 12 500. */
  readonly maxConnections: number
  /** Open requests of one HTTP/2 connection. Default 128. */
  readonly maxStreams: number
  /**
   * Open requests to one backend; beyond it 503. Default 2 560. A request counts from when the
   * first bytes of its body are there, a WebSocket until it is open.
   */
  readonly maxBackendRequests: number
  /**
   * Longest wait of a request for a backend that has no room; then 503. Default 2 000; 0: none
   * waits.
   */
  readonly queueTimeout: number
  /** Requests that wait for one backend; beyond it 503. Default 1 000. */
  readonly maxQueued: number
  /** Open WebSockets to one backend; beyond it 503. Default 10 000. */
  readonly maxTunnels: number
  /** Requests whose body has not begun to come; beyond it 503. Default 10 000. */
  readonly maxPendingBodies: number
  /**
   * Percent of connections, requests and WebSockets that the clients of one
   * network (IPv4 address, IPv6 /64) may have when nobody else has any; less when others do.
   * Trusted proxies are no network; their requests count for the clients that they name.
   * Default 80; 100: no limit, as behind a balancer that shows its own address.
   */
  readonly clientShare: number
  /** Between the wish to end and the drain: no longer ready, and all goes on. Default 0. */
  readonly shutdownDelay: number
  /** Drain: open requests may take this long. Default 30 000. */
  readonly drainTimeout: number
  /** Upgrade: the first new worker serves so long beside those that it replaces. Default 5000. */
  readonly upgradeProbation: number
}

/** Those of them that a site or a route may have of its own. */
export type RouteLimits = Pick<Limits, (typeof routeLimits)[number]>

export type OwnLimits = { readonly [name in keyof RouteLimits]?: number | undefined }

export const routeLimits = [
  'bodyTimeout',
  'connectTimeout',
  'backendHeadersTimeout',
  'backendBodyTimeout',
  'requestTimeout',
  'tryTimeout',
  'tunnelTimeout',
  'maxBodyBytes',
  'maxBackendRequests',
  'queueTimeout',
  'maxQueued',
  'maxTunnels',
] as const

/** Where lines go that do not go into the log of the process. */
export interface AccessLogTarget {
  readonly format: AccessLogFormat
  /** Takes a line with its end. Never throws and never waits. */
  write(line: string): void
}

export const accessLogFormats = ['json', 'combined'] as const

export type AccessLogFormat = (typeof accessLogFormats)[number]

export interface ProxyOptions {
  readonly host?: string | undefined
  /** 0 picks a free one. */
  readonly port: number
  readonly sites: readonly Site[]
  readonly limits?: Partial<Limits> | undefined
  /** TLS versions. Default TLSv1.2 to TLSv1.3. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  /**
   * Addresses or subnets (`10.0.0.0/8`) of proxies in front of this one. Only what they say in
   * `Forwarded`, `X-Forwarded-*` and the like is passed on or added to; anybody else's is dropped.
   */
  readonly trustedProxies?: readonly string[] | undefined
  /**
   * Addresses or subnets of balancers that speak the PROXY protocol, version 1 or 2: what they
   * open must begin with its header, and counts as the client's own connection then. From anybody
   * else none is looked for. Default: nobody.
   */
  readonly proxyProtocol?: readonly string[] | undefined
  /**
   * A path of every site at which a balancer's GET or HEAD is answered with 200 while `notReady`
   * says nothing, else with 503: under any name, and before log-in. Default: none.
   */
  readonly healthPath?: string | undefined
  /** Why no clients are wanted now, in words. Default: they are. */
  readonly notReady?: (() => string | undefined) | undefined
  readonly sessions: SessionSharing
  /** Which backend holds which client, farm-wide. Default: of this proxy alone. */
  readonly places?: AffinityTable | undefined
  /** Which backends are to get no new clients. Default: none. */
  readonly drains?: Drains | undefined
  /** Where proxies tell each other what their checks of backends found. Default: nowhere. */
  readonly healthBoard?: HealthBoard | undefined
  readonly log: Log
  /** Where a line for each request goes. Default: into `log`, at level info. */
  readonly accessLog?: AccessLogTarget | 'off' | undefined
  /** Told of limits that are met. Default: some of its own, and the log hears of it. */
  readonly limitCounters?: LimitCounters | undefined
  /**
   * Client connections can be gone on with by another process when this one dies. They speak
   * HTTP/1.1 then, and no HTTP/2. Default: they end with it.
   */
  readonly protection?: ProtectionOptions | undefined
}

/** What can change while a proxy runs. */
export type ReloadOptions = Pick<
  ProxyOptions,
  'sites' | 'limits' | 'proxyProtocol' | 'healthPath'
>

/** A running proxy, as `createProxy(options): Promise<RunningProxy>` in lib/proxy/proxy.ts gives it. */
export interface RunningProxy {
  readonly host: string
  readonly port: number
  /** New certificates, sites and limits without dropping a connection. */
  reload(options: ReloadOptions): void
  /** Whether a host name, in lower case, has a site. */
  serves(hostname: string): boolean
  /** Stops accepting, lets open requests finish within `drainTimeout`, then resolves. */
  drain(): Promise<void>
  /** Ends everything now. */
  close(): Promise<void>
  /**
   * Goes on with a connection of a process that is no more: a handle of it, and its last
   * checkpoint. False where that can't be; it is over then. Needs `protection`.
   */
  adopt(handle: SystemHandle, checkpoint: Buffer): boolean
  /**
   * Gives connections to whoever keeps their checkpoints, as far as that can be, from now on and
   * without the end of a process: before a drain.
   */
  leave(held: ReadonlySet<string>): void
  /** The same for a connection of another host: a socket that stands where its client is. */
  inherit(socket: Socket, checkpoint: Buffer, at: Inheritance): boolean
  /** Ends what is protected and served at an address of this host, without a word to anybody. */
  silence(address: string): void
  /**
   * The connections of an address of this host, which is about to go to another one. Those that
   * can't be moved end after their answer from now on. Undefined without `protection`.
   */
  holding(address: string): Holding | undefined
  /**
   * The same of one connection, by the id that it is written down with, in hexadecimal. Undefined, too,
   * where nobody is waited for that could go on with it.
   */
  holdingOf(id: string): Holding | undefined
  /** Those that it could hold now, as they are. */
  movable(): readonly MovedConnection[]
  /** Connections that another process could go on with as they are now. */
  protectedNow(): CheckpointCounts
  /** What it tells of itself. */
  readonly sections: readonly Section[]
  /** Figures for the demo's counter line. */
  stats(): { readonly connections: number; readonly requests: number }
}
