import { Readable } from 'node:stream'
import { relayed } from './relayed-bytes.ts'

export type BodyFailure = 'too-large' | 'timeout' | 'aborted'

export class BodyError extends Error {
  readonly failure: BodyFailure

  constructor(failure: BodyFailure) {
    super(`request body: ${failure}`)
    this.name = 'BodyError'
    this.failure = failure
  }
}

export interface RequestBodyOptions {
  /** Bytes; 0 for no limit. */
  readonly maxBytes: number
  /** Longest silence of the client while the backend is ready for more; see `patience`. */
  readonly timeout: number
  /** Called once, when the first byte is wanted. */
  readonly onWanted: () => void
  /** Called once, when the first byte is there, or it is known that there is none. */
  readonly onArrived: () => void
}

/**
 * The body on its way to the backend: as fast as the slower of the two sides, counted and
 * timed. It stands between because undici destroys the body it is given, and destroying
 * Node's request would take the client's connection, and our answer, along.
 */
export class RequestBody extends Readable {
  readonly #source: Readable
  readonly #options: RequestBodyOptions
  #bytes = 0
  #listening = false
  #arrived = false
  #silence: NodeJS.Timeout | undefined
  #timeout: number

  constructor(source: Readable, options: RequestBodyOptions) {
    super({ highWaterMark: 64 * 1024 })
    this.#source = source
    this.#options = options
    this.#timeout = options.timeout
    // Without a listener an error after undici has let go would end the process.
    this.on('error', () => {})
  }

  /** Takes in the first bytes while nobody asks for them yet. */
  open(): void {
    this.#listen()
    if (!this.destroyed && !this.#source.readableEnded) this.#more()
  }

  /** From now on the client may be silent for so long. */
  set patience(timeout: number) {
    this.#timeout = timeout
    if (this.#silence === undefined) return
    clearTimeout(this.#silence)
    this.#silence = undefined
    this.#wait()
  }

  override _read(): void {
    if (!this.#listening) {
      this.#options.onWanted()
      this.#listen()
      if (this.destroyed || this.#source.readableEnded) return
    }
    this.#more()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#leave()
    done(error)
  }

  #listen(): void {
    this.#listening = true
    this.#source.on('data', this.#onData)
    this.#source.on('end', this.#onEnd)
    this.#source.on('aborted', this.#onAborted)
    this.#source.on('error', this.#onAborted)
    this.#source.on('close', this.#onAborted)
    if (this.#source.destroyed) this.#onAborted()
    // Node tells the end of an empty body of HTTP/2 when it comes, whether or not anybody reads:
    // before it is known who asks, or a backend stands ready.
    else if (this.#source.readableEnded) this.#onEnd()
  }

  #more(): void {
    this.#wait()
    this.#source.resume()
  }

  #arrive(): void {
    if (this.#arrived) return
    this.#arrived = true
    this.#options.onArrived()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes += chunk.length
    relayed.count(chunk.length)
    if (this.#options.maxBytes > 0 && this.#bytes > this.#options.maxBytes) {
      this.destroy(new BodyError('too-large'))
      return
    }
    // First of all: it may turn out that no backend is to have any of it.
    this.#arrive()
    if (this.destroyed) return
    if (this.push(chunk)) this.#wait()
    else {
      // Now it is the backend that is slow.
      clearTimeout(this.#silence)
      this.#silence = undefined
      this.#source.pause()
    }
  }

  readonly #onEnd = (): void => {
    // A stream of HTTP/2 that was reset ends like one that is complete.
    const { aborted, rstCode } = this.#source as { aborted?: boolean; rstCode?: number }
    if (aborted || rstCode) {
      this.#onAborted()
      return
    }
    this.#leave()
    this.push(null)
    this.#arrive()
  }

  readonly #onAborted = (): void => {
    this.destroy(new BodyError('aborted'))
  }

  #wait(): void {
    if (this.#silence !== undefined) this.#silence.refresh()
    else {
      this.#silence = setTimeout(
        () => this.destroy(new BodyError('timeout')),
        this.#timeout,
      )
      this.#silence.unref()
    }
  }

  #leave(): void {
    clearTimeout(this.#silence)
    this.#silence = undefined
    this.#source.off('data', this.#onData)
    this.#source.off('end', this.#onEnd)
    this.#source.off('aborted', this.#onAborted)
    this.#source.off('error', this.#onAborted)
    this.#source.off('close', this.#onAborted)
    if (!this.#source.readableEnded) this.#source.pause()
  }
}
