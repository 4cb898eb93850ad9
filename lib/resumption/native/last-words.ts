import { Shadow } from '../hello/shadow.ts'
import type { NativeHandle } from './native-handle.ts'

/**
 * While a `newSession` is unanswered, Node sends nothing that TLS has to say (EncOut in Node's
 * TLS), and who ends the connection in that time ends it at once. All that was to be sent is
 * lost then: the tickets, on TLS 1.2 the server's Finished, the alert that tells a client what
 * it said wrong right behind its own Finished, the 400 of an HTTP server for a request there.
 *
 * So ends wait. An error, which destroys the socket, `answer`s the waiting callbacks and comes
 * one turn of the loop later; so do a close and a shutdown, which have TLS speak first. Node
 * takes a write for done only in the next turn, and whatever is written meanwhile waits for
 * it, so that closes are watched for one turn longer.
 *
 * None of these methods is documented: where one is missing, that end is as sudden as before.
 */
export class LastWords {
  readonly #handle: NativeHandle
  readonly #restore: (() => void)[] = []
  #restoreOnError: (() => void) | undefined

  constructor(handle: NativeHandle, answer: () => void) {
    this.#handle = handle
    const { onerror, close, shutdown } = handle
    if (typeof onerror === 'function') {
      this.#restoreOnError = this.#replace('onerror', (...error) => {
        this.#restoreOnError?.()
        // Not at once: TLS is in the middle of reading, and would be entered a second time.
        setImmediate(() => {
          answer()
          setImmediate(() => onerror.apply(handle, error))
        })
      })
    }
    if (typeof handle.newSessionDone !== 'function') return
    if (typeof close === 'function') {
      this.#restore.push(this.#replace('close', this.#later(close)))
    }
    if (typeof shutdown === 'function') {
      this.#restore.push(this.#replace('shutdown', this.#later(shutdown)))
    }
  }

  /** TLS may speak again. */
  answered(): void {
    this.#restoreOnError?.()
    if (this.#restore.length === 0) return
    setImmediate(() => {
      for (const restore of this.#restore.splice(0)) restore()
    })
  }

  /** 0 is what tells Node that the answer comes later. */
  #later(method: (...given: unknown[]) => unknown): (...given: unknown[]) => number {
    const handle = this.#handle
    return (...given) => {
      handle.newSessionDone?.()
      setImmediate(() => method.apply(handle, given))
      return 0
    }
  }

  /** Puts a method in the place of another. Returns the way back. */
  #replace(
    name: 'onerror' | 'close' | 'shutdown',
    watch: (...given: unknown[]) => unknown,
  ): () => void {
    const shadow = new Shadow(this.#handle, name, watch)
    return () => shadow.giveBack()
  }
}
