import type { Source } from '../cache/tier.ts'

/** Why a handshake was full although the farm stands ready. One of these, always. */
export type FullCause =
  /** The client offered nothing that could be a session of ours. */
  | 'none-offered'
  /** A session was offered that no member knows: evicted, expired long ago, or made up. */
  | 'unknown'
  | 'expired'
  /** The lineage began too long ago, or the client certificate has run out. */
  | 'lineage-expired'
  | 'revoked'
  /** Minted under another server name, policy, protocol version or set of extensions. */
  | 'policy'
  /** The farm did not answer within the lookup budget. */
  | 'timeout'
  | 'corrupt'
  /** A member can't be reached, and `onPartition` says not to resume then. */
  | 'partition'
  /** Resumption is switched off for the server name. */
  | 'off'
  /** We offered to resume and TLS did not: it chose a cipher with another hash, for one. */
  | 'declined'

/** Where the session was: in a tier of the cache, or in a sealed ticket. */
export type ResumedFrom = Source | 'ticket'

/** What is known of a finished handshake. */
export interface Handshake {
  /** Name from the server_name extension, lower case; empty when the client sent none. */
  readonly serverName: string
  /** As Node says it: `TLSv1.2`, `TLSv1.3`. */
  readonly protocol: string
  /** Where the session was found, or false for a full handshake. */
  readonly resumed: ResumedFrom | false
  /** Set when `resumed` is false. */
  readonly cause: FullCause | undefined
  /**
   * Constant along a chain of resumptions: the id of its first session, or 9 bytes drawn for its
   * sealed tickets. Undefined when the client was given no session.
   */
  readonly lineage: Buffer | undefined
  /** Wall time in milliseconds of the full handshake at the start of the chain. */
  readonly originalAt: number
  /**
   * Whether the client proved a certificate in that full handshake. The authority on resumed
   * connections, where `socket.authorized` can't be trusted.
   */
  readonly clientAuthorized: boolean
}

const handshakeSymbol: unique symbol = Symbol.for('handfast.handshake')

/**
 * The handshake of a connection that an attached server accepted; also for the socket proxies
 * that HTTP/2 hands out. Undefined for other sockets.
 */
export function handshakeOf(socket: object): Handshake | undefined {
  return (socket as { [handshakeSymbol]?: Handshake })[handshakeSymbol]
}

/** @internal */
export function setHandshake(socket: object, handshake: Handshake): void {
  Object.defineProperty(socket, handshakeSymbol, { value: handshake, configurable: true })
}
