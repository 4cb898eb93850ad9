import type { Clock } from '../clock.ts'
import type { ProxyVersion } from '../proxy-protocol/header.ts'
import type {
  BackendCall,
  BackendHandler,
  BackendRequest,
  BoundClient,
} from './request.ts'
import type { TlsSessions } from './tls-sessions.ts'

/** All times in milliseconds. */
export interface PoolOptions {
  /** PEM of the authorities for https. Default: those of Node. */
  readonly ca?: string | Buffer | undefined
  /** PEM of the certificate that the backend is shown if it asks, and its key. */
  readonly cert?: string | Buffer | undefined
  readonly key?: string | Buffer | undefined
  /**
   * Each connection says whose it is in a header of the PROXY protocol. So it is no other client's
   * afterwards. HTTP/1.1 only. Default: none does.
   */
  readonly proxyProtocol?: ProxyVersion | undefined
  /** Where to connect to in place of the name. What is verified is the name. */
  readonly address?: string | undefined
  readonly connectTimeout: number
  readonly headersTimeout: number
  readonly bodyTimeout: number
  readonly maxHeaderBytes: number
  readonly clock?: Clock | undefined
  /** Of connections like these to the same backend. Default: its own. */
  readonly sessions?: TlsSessions | undefined
}

/** Connections to one origin, kept alive between requests. */
export interface Pool {
  /** `fresh`: on a new connection, for one that was kept alive may be dead. */
  send(request: BackendRequest, handler: BackendHandler, fresh: boolean): PoolCall
  /** Whether this client has connections of its own here. */
  holds(client: BoundClient): boolean
  /** Lets open requests finish, and those come that are on their way here already. */
  close(): void
  /** Ends open requests. */
  destroy(): Promise<void>
}

/** A request on a connection. */
export interface PoolCall extends BackendCall {
  /** The connection has served other requests before. */
  readonly reused: boolean
}

/** Of a request that nobody took. */
export const overCall: PoolCall = { reused: false, abort() {}, pause() {}, resume() {} }

/** What of them TLS is made with. */
export function credentialsOf({ ca, cert, key }: PoolOptions): {
  ca?: string | Buffer
  cert?: string | Buffer
  key?: string | Buffer
} {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}
