import type { NativeHandle } from './correlation.ts'

/**
 * While a `newSession` is unanswered, Node sends nothing that TLS has to say, and an error in
 * that time destroys the socket before the 'secure' event, with the tickets, on TLS 1.2 the
 * server's Finished, and the alert still unsent (EncOut and `onerror` in Node's TLS). A client
 * that sends something illegal right behind its own Finished would see a bare close.
 *
 * So an error waits until `answer` has answered: Node then sends what it holds and ends the
 * handshake, and hears of the error one turn of the loop later, as if nobody had waited.
 *
 * Returns what ends the watch. A handle without `onerror`, which is not documented, is left
 * alone, and such clients get the bare close.
 */
export function answerBeforeError(handle: NativeHandle, answer: () => void): () => void {
  const { onerror } = handle
  if (typeof onerror !== 'function') return nothing
  const watch = (...error: unknown[]) => {
    stop()
    // Not at once: TLS is in the middle of reading, and would be entered a second time.
    setImmediate(() => {
      answer()
      setImmediate(() => onerror.apply(handle, error))
    })
  }
  const stop = () => {
    if (handle.onerror === watch) handle.onerror = onerror
  }
  handle.onerror = watch
  return stop
}

function nothing(): void {}
