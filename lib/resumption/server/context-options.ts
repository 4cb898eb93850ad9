import { constants } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'

/** What all members must have in common. */
export interface SharedOptions {
  /** Without it TLS refuses each other's sessions. At most 32 bytes. */
  readonly sessionIdContext: string
  /** Milliseconds from the making of a session. */
  readonly sessionTimeout: number
}

/**
 * The options of a context whose sessions the farm shares, from those its owner gave.
 *
 * SSL_OP_NO_TICKET is what makes TLS 1.3 tickets stateful: their identity is then a session id,
 * and OpenSSL asks for it instead of decrypting it.
 */
export function sharedContextOptions(
  given: SecureContextOptions,
  shared: SharedOptions,
): SecureContextOptions {
  return {
    ...given,
    secureOptions: (given.secureOptions ?? 0) | constants.SSL_OP_NO_TICKET,
    sessionIdContext: shared.sessionIdContext,
    sessionTimeout: Math.ceil(shortestTimeout(given, shared) / 1000),
  }
}

/** What makes tickets that carry their session of a context with those options. */
export function withTickets(options: SecureContextOptions): SecureContextOptions {
  const { secureOptions = 0 } = options
  return { ...options, secureOptions: secureOptions & ~constants.SSL_OP_NO_TICKET }
}

/**
 * Milliseconds for which a session may resume: what the farm allows, or what the server's owner
 * does where that is less. To OpenSSL 0 means that nothing was said.
 */
export function shortestTimeout(
  { sessionTimeout }: SecureContextOptions,
  shared: SharedOptions,
): number {
  return Math.min(
    shared.sessionTimeout,
    (sessionTimeout || Number.POSITIVE_INFINITY) * 1000,
  )
}
