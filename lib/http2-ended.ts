import type { Http2Session } from 'node:http2'

/**
 * Whether HTTP/2 is over on a connection although Node has not said so. A connection error
 * (RFC 9113 5.4.1) makes nghttp2 send GOAWAY and want nothing more; Node 20 and 22 then stop
 * reading, and while a stream is open no 'close' ever comes: not when the client leaves, not
 * from `session.close()` or `session.setTimeout()`. Only `destroy()` still works. One such
 * case was mended as CVE-2026-21714, all of them in later versions of Node 24.
 *
 * The native session knows, and Node shows it to nobody. Where it can't be asked the answer is
 * always no, and the time limits of whoever asks have to do.
 */
export function hasEnded(session: Http2Session): boolean {
  if (session.destroyed) return true
  const handle = nativeOf(session)
  if (typeof handle?.hasPendingData !== 'function') return false
  // True while nghttp2 wants to read or to write: a session that lives always wants to read.
  if (handle.hasPendingData()) {
    readingCounts ||= session.state.outboundQueueSize === 0
    return false
  }
  if (readingCounts) return true
  // Not seen so far that wanting to read counts in this version of Node. Somebody who lives
  // wants to write once there is a PING to be sent, or GOAWAY where Node sends no PING any more.
  if (session.closed) session.goaway()
  else session.ping(() => {})
  return !handle.hasPendingData()
}

interface NativeSession {
  readonly hasPendingData?: () => boolean
}

let handleSymbol: symbol | undefined
let readingCounts = false

function nativeOf(session: Http2Session): NativeSession | undefined {
  handleSymbol ??= Object.getOwnPropertySymbols(session).find(
    symbol => symbol.description === 'kHandle',
  )
  return handleSymbol === undefined ? undefined : Reflect.get(session, handleSymbol)
}
