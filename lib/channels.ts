import { type Channel, channel } from 'node:diagnostics_channel'

/**
 * What can be observed, on `node:diagnostics_channel`. Messages hold no secret: no session
 * bytes, no ids that resume.
 */
export const channels: {
  readonly [name in 'handshake' | 'mint' | 'login' | 'logout' | 'loginLookup']: Channel
} = {
  /** A handshake ended well: `{ server, socket, handshake }`. */
  handshake: channel('handfast:handshake'),
  /** Sessions were minted for a connection: `{ server, count, shared }`; see Mint. */
  mint: channel('handfast:mint'),
  /** Somebody tried to log in: `{ method, outcome, subject }`, the last where it is proved. */
  login: channel('handfast:login'),
  /** Somebody logged out: `{ everywhere }`, whether every reachable member knows. */
  logout: channel('handfast:logout'),
  /** A request, `hit` where the user was known without being asked: `{ found: 'hit' | 'miss' }`. */
  loginLookup: channel('handfast:login-lookup'),
}
