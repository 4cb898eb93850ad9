import type { Handshake } from '../../resumption/handshake.ts'
import type { SuiteName } from '../record-layer/suite.ts'

/**
 * What another process has to know of a connection to go on with it, besides how far it is
 * (`position`, `readPosition`) and the response that is on its way, if any. Whoever holds the
 * secrets reads and writes in the name of both ends: they are kept in memory only, travel
 * sealed, and are wiped with `wipe` when the connection is over.
 */
export type ConnectionState = PlainState | Tls13State

export interface PlainState {
  readonly kind: 'plain'
}

export interface Tls13State {
  readonly kind: 'tls13'
  readonly suite: SuiteName
  /** `client_application_traffic_secret_N` and the server's, of now (RFC 8446 7.1, 7.2). */
  readonly clientSecret: Buffer
  readonly serverSecret: Buffer
  /** Number of the next record under each of them. */
  readonly readRecord: number
  readonly writeRecord: number
  /** As the client said it in its hello; empty when it said none. */
  readonly serverName: string
  /** False when the client offered none. */
  readonly alpn: 'http/1.1' | false
  readonly reused: boolean
  /** What Node found of the client's certificate, and that in DER. */
  readonly authorized: boolean
  readonly certificate: Buffer | undefined
  /** What the farm knows of the handshake. */
  readonly handshake: Handshake | undefined
}

/** Overwrites the secrets. The state is of no use afterwards. */
export function wipe(state: ConnectionState): void {
  if (state.kind === 'plain') return
  state.clientSecret.fill(0)
  state.serverSecret.fill(0)
}
