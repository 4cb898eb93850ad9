import { Readable } from 'node:stream'

/**
 * A request body that can be sent more than once, as long as what was taken of it fits into
 * `most` bytes. Each try has a stream of its own, for the client of a backend destroys what it is
 * given; the source it leaves alone.
 */
export class ReplayedBody {
  readonly #source: Readable
  readonly #most: number
  /** Undefined once there is more than may be kept. */
  #kept: Buffer[] | undefined = []
  #bytes = 0
  #current: Part | undefined
  #listening = false

  constructor(source: Readable, most: number) {
    this.#source = source
    this.#most = most
  }

  /** Whether a new stream would have all of it. */
  get isWhole(): boolean {
    const { destroyed, readableEnded } = this.#source
    return this.#kept !== undefined && (readableEnded || !destroyed)
  }

  /** For the next try; the one before gets no more. Only while it is whole. */
  next(): Readable {
    const part = new Part(() => this.#more(part))
    for (const chunk of this.#kept ?? []) part.push(chunk)
    this.#current = part
    if (this.#source.readableEnded) part.push(null)
    return part
  }

  #more(part: Part): void {
    if (part !== this.#current) return
    if (!this.#listening) {
      this.#listening = true
      this.#source.on('data', this.#onData)
      this.#source.on('end', () => this.#current?.push(null))
      this.#source.on('error', error => this.#current?.destroy(error))
    }
    this.#source.resume()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes += chunk.length
    if (this.#bytes > this.#most) this.#kept = undefined
    else this.#kept?.push(chunk)
    const current = this.#current
    // Between two tries what comes waits here.
    if (current === undefined || current.destroyed || !current.push(chunk)) {
      this.#source.pause()
    }
  }
}

class Part extends Readable {
  readonly #more: () => void

  constructor(more: () => void) {
    super({ highWaterMark: 64 * 1024 })
    this.#more = more
    // Without a listener an error after it has been let go would end the process.
    this.on('error', () => {})
  }

  override _read(): void {
    this.#more()
  }
}
