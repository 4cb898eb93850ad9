import type { Server } from 'node:tls'
import type { Log } from '../log.ts'

/** What a proxy needs from the farm: its servers' sessions are shared once attached. */
export interface SessionSharing {
  attach(server: Server): void
  detach(server: Server): void
}

/** A server name, the certificate it shows, and where its requests go. */
export interface Site {
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
  /** `http://host:port` or `https://host:port`; more than one: taken in turn. */
  readonly backends: readonly string[]
  /** PEM of the authorities for https backends. Default: those of Node. */
  readonly backendCa?: string | Buffer | undefined
}

/** All limits with their defaults in lib/proxy/limits.ts. Times in milliseconds. */
export interface Limits {
  /** Client must have sent its request headers within. Default 15 000. */
  readonly headersTimeout: number
  /** Longest silence of the client while it sends a body. Default 60 000. */
  readonly bodyTimeout: number
  /** Idle kept-alive connection is closed after. Default 60 000. */
  readonly idleTimeout: number
  /** Backend must accept the connection within. Default 5 000. */
  readonly connectTimeout: number
  /** Backend must send its response headers within, else 504. Default 60 000. */
  readonly backendHeadersTimeout: number
  /** Longest silence of the backend inside a body. Default 60 000. */
  readonly backendBodyTimeout: number
  /** Request header bytes. Default 16 384; beyond it 431. */
  readonly maxHeaderBytes: number
  /** Request body bytes, 0 for no limit. Default 0; beyond it 413. */
  readonly maxBodyBytes: number
  /** Open client connections. Default 10 000. */
  readonly maxConnections: number
  /** Drain: open requests may take this long. Default 30 000. */
  readonly drainTimeout: number
}

export interface ProxyOptions {
  readonly host?: string | undefined
  /** 0 picks a free one. */
  readonly port: number
  readonly sites: readonly Site[]
  readonly limits?: Partial<Limits> | undefined
  /** TLS versions. Default TLSv1.2 to TLSv1.3. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  readonly sessions: SessionSharing
  readonly log: Log
}

/** A running proxy, as `createProxy(options): Promise<Proxy>` in lib/proxy/proxy.ts gives it. */
export interface Proxy {
  readonly host: string
  readonly port: number
  /** New certificates, sites and limits without dropping a connection. */
  reload(options: Pick<ProxyOptions, 'sites' | 'limits'>): void
  /** Stops accepting, lets open requests finish within `drainTimeout`, then resolves. */
  drain(): Promise<void>
  /** Ends everything now. */
  close(): Promise<void>
  /** Figures for metrics and the demo's counter line. */
  stats(): { readonly connections: number; readonly requests: number }
}
