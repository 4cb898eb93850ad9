import { createHook } from 'node:async_hooks'
import type { NativeHandle } from './native-handle.ts'
import { askedAgain, bytesSent } from './second-hello.ts'

/**
 * Gives a session to a connection before its handshake begins, for the two hellos that never
 * raise `resumeSession`: one with an empty legacy_session_id (NSS and GnuTLS without
 * compatibility mode, `s_client -no_middlebox`), and on Node 20 one spread over several
 * records. `begin` hands the raw socket to Node's TLS listener, which makes the TLSSocket out
 * of our sight; the async hook lets us see the native handle that is made for it.
 *
 * The handle's `loadSession` is not documented: where it is missing the handshake is full.
 * The hook is on only while `begin` runs, and only for these hellos.
 *
 * `mayAskAgain`: the session is wanted again if TLS asks for a second hello.
 */
export function preloadSession(
  session: Buffer,
  mayAskAgain: boolean,
  begin: () => void,
): void {
  let handle: NativeHandle | undefined
  const hook = createHook({
    init(_asyncId, type, _triggerAsyncId, resource) {
      if (type === 'TLSWRAP') handle ??= resource
    },
  })
  hook.enable()
  try {
    begin()
  } finally {
    hook.disable()
  }
  if (typeof handle?.loadSession !== 'function') return
  handle.loadSession(session)
  if (mayAskAgain) {
    const known = handle
    const before = bytesSent(known)
    // Node lets TLS read the hello on a tick that `begin` has queued before this one.
    process.nextTick(() => {
      if (askedAgain(known, before)) known.loadSession?.(session)
    })
  }
}
