import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import { FrameReader, frameHeaderLength, writeFrameHeader } from '../wire/frame.ts'
import type { RepositoryFrame } from './frames.ts'

/** What the other end has not taken of what was sent, bytes; more, and the link ends. */
const mostWaiting = 16 * 1024 * 1024

export interface LinkEvents {
  /** Throws ERR_HANDFAST_PROTOCOL for a frame that is not allowed: the link then ends. */
  onFrame(type: number, body: Buffer): void
  /** Called once; `error` when there was one. */
  onEnd(error: Error | undefined): void
}

/** Frames over a stream of bytes; what is sent in one turn of the event loop goes out together. */
export class Link {
  readonly #stream: Duplex
  readonly #clock: Clock
  readonly #events: LinkEvents
  readonly #reader = new FrameReader()
  #parts: Buffer[] = []
  #ended = false
  heardAt: number

  constructor(stream: Duplex, clock: Clock, events: LinkEvents) {
    this.#stream = stream
    this.#clock = clock
    this.#events = events
    this.heardAt = clock.monotonic()
    stream.on('data', chunk => this.#read(chunk))
    stream.on('error', error => this.destroy(error))
    stream.on('close', () => this.destroy())
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Bytes that the other end has not taken yet. */
  get waiting(): number {
    return this.#stream.writableLength
  }

  send(type: RepositoryFrame, body: Buffer): void {
    if (this.#ended) return
    const head = Buffer.allocUnsafe(frameHeaderLength)
    writeFrameHeader(head, type, body.length)
    if (this.#parts.length === 0) setImmediate(this.#flush)
    this.#parts.push(head, body)
  }

  /** Nothing is read until `resume`: who can't be served faster has to wait. */
  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  /** Ends the stream behind what was sent and a last frame; `sent` is called when that is out. */
  end(type: RepositoryFrame, body: Buffer = Buffer.alloc(0), sent?: () => void): void {
    this.send(type, body)
    this.#flush()
    if (!this.#ended) this.#stream.end(sent)
  }

  destroy(error?: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#parts = []
    this.#stream.destroy()
    this.#events.onEnd(error)
  }

  readonly #flush = (): void => {
    if (this.#ended || this.#parts.length === 0) return
    this.#stream.write(Buffer.concat(this.#parts))
    this.#parts = []
    if (this.waiting > mostWaiting) this.destroy(new Error('the other end does not read'))
  }

  #read(chunk: Buffer): void {
    if (this.#ended) return
    this.heardAt = this.#clock.monotonic()
    try {
      for (const { type, body } of this.#reader.read(chunk)) {
        this.#events.onFrame(type, body)
        if (this.#ended) return
      }
    } catch (error) {
      // Whatever the other end makes us stumble over must cost this link, not the process.
      this.destroy(error as Error)
    }
  }
}
