import { type Channel, channel } from 'node:diagnostics_channel'

/**
 * What can be observed, on `node:diagnostics_channel`. Messages hold no secret: no session
 * bytes, no ids that resume.
 */
export const channels: { readonly handshake: Channel; readonly mint: Channel } = {
  /** A handshake ended well: `{ server, socket, handshake }`. */
  handshake: channel('handfast:handshake'),
  /** Sessions were minted for a connection: `{ server, count, shared }`; see Mint. */
  mint: channel('handfast:mint'),
}
