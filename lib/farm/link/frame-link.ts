import type { TLSSocket } from 'node:tls'
import { plainHost } from '../../address.ts'
import type { Clock } from '../../clock.ts'
import type { HybridClock } from '../../record/hybrid-clock.ts'
import type { CacheRecord } from '../../record/record.ts'
import {
  FrameReader,
  type FrameType,
  frameHeader,
  frameHeaderLength,
  frameTypes,
  notAllowed,
  writeFrame,
} from '../../wire/frame.ts'
import { readTimes, writeTimes } from '../../wire/frame-time.ts'
import { clockError, PeerTime } from './peer-time.ts'

/**
 * Not copied into one piece with its header: the two are corked, and leave together. What is copied
 * here counts as garbage by its bytes, of which a repository that is joined would make so much that
 * collecting it took as long as all else.
 */
const longBody = 4_096

/** Counts over all links. */
export interface Traffic {
  framesIn: number
  framesOut: number
  bytesIn: number
  bytesOut: number
}

export interface FrameLinkEvents {
  /** Throws ERR_HANDFAST_PROTOCOL for a frame that is not allowed: the link then ends. */
  onFrame(type: number, body: Buffer): void
  /** Called once; `error` when there was one. */
  onEnd(error: Error | undefined): void
}

/** A TLS connection between two members as a sequence of frames. */
export class FrameLink {
  readonly #socket: TLSSocket
  readonly #clock: Clock
  readonly #traffic: Traffic
  readonly #events: FrameLinkEvents
  readonly #versions: HybridClock
  readonly time: PeerTime
  readonly #reader = new FrameReader()
  readonly #drainers = new Set<() => void>()
  /** From then on a clock that goes wrong ends the link; before, it is a cause to refuse it. */
  isGreeted = false
  #ended = false
  #corked = false
  heardAt: number
  sentAt: number
  /** When the other end was last told our time. */
  toldAt: number

  constructor(
    socket: TLSSocket,
    { clock, versions, traffic, events }: LinkParts & { events: FrameLinkEvents },
  ) {
    this.#versions = versions
    this.time = new PeerTime(versions)
    this.#socket = socket
    this.#clock = clock
    this.#traffic = traffic
    this.#events = events
    this.heardAt = clock.monotonic()
    this.sentAt = this.heardAt
    this.toldAt = this.heardAt
    socket.setNoDelay(true)
    socket.on('data', chunk => this.#read(chunk))
    socket.on('error', error => this.destroy(error))
    socket.on('close', () => this.destroy())
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Host at the other end. */
  get remoteHost(): string {
    return plainHost(this.#socket.remoteAddress ?? '')
  }

  /** Bytes that the socket has not taken yet. */
  get waiting(): number {
    return this.#socket.writableLength
  }

  send(type: FrameType, body: Buffer): void {
    if (this.#ended) return
    this.#cork()
    this.#traffic.framesOut += 1
    this.#traffic.bytesOut += frameHeaderLength + body.length
    this.sentAt = this.#clock.monotonic()
    if (body.length < longBody) {
      this.#socket.write(writeFrame(type, body), this.#onWritten)
      return
    }
    this.#socket.write(frameHeader(type, body.length))
    this.#socket.write(body, this.#onWritten)
  }

  /** Calls `fn` once, when the socket has taken all that waits. */
  onceDrained(fn: () => void): void {
    this.#drainers.add(fn)
  }

  /** Tells our time every `heartbeat` ms, after a ping if nothing was sent meanwhile. */
  beat(heartbeat: number): void {
    // A peer that does not read must not pile them up.
    if (this.waiting > 0) return
    const now = this.#clock.monotonic()
    if (now - this.sentAt >= heartbeat) this.send(frameTypes.ping, Buffer.alloc(0))
    if (now - this.toldAt >= heartbeat) this.tellTime()
  }

  tellTime(): void {
    this.toldAt = this.#clock.monotonic()
    const times = { wall: this.#versions.wall(), farm: this.#versions.now() }
    this.send(frameTypes.time, writeTimes(times))
  }

  /** A record that the other end sent, its end counted by our wall clock. */
  byOurClock(record: CacheRecord): CacheRecord {
    const { ahead } = this.time
    if (ahead === 0) return record
    return { ...record, expiresAt: Math.max(0, record.expiresAt - ahead) }
  }

  isSilent(limit: number): boolean {
    return this.#clock.monotonic() - this.heardAt > limit
  }

  /** Ends the connection once what was sent is on its way. */
  end(): void {
    if (!this.#ended) this.#socket.end()
  }

  destroy(error?: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#socket.destroy()
    this.#drainers.clear()
    this.#events.onEnd(error)
  }

  /**
   * Not the socket's 'drain', which comes only after more than its high-water mark was
   * waiting: that is 16 KiB in Node 20, 64 KiB in later ones, and our bound may be lower.
   */
  readonly #onWritten = (): void => {
    if (!this.#ended && this.waiting === 0) this.#drained()
  }

  /** All frames of one tick go out in one write, so in few TLS records and packets. */
  #cork(): void {
    if (this.#corked) return
    this.#corked = true
    this.#socket.cork()
    process.nextTick(() => {
      this.#corked = false
      this.#socket.uncork()
    })
  }

  #read(chunk: Buffer): void {
    if (this.#ended) return
    this.heardAt = this.#clock.monotonic()
    this.#traffic.bytesIn += chunk.length
    try {
      for (const { type, body } of this.#reader.read(chunk)) {
        this.#traffic.framesIn += 1
        if (type === frameTypes.time) this.#onTime(body)
        else if (type !== frameTypes.ping) this.#events.onFrame(type, body)
        else if (body.length > 0) throw notAllowed(type)
        if (this.#ended) return
      }
    } catch (error) {
      // Whatever a peer makes us stumble over must cost this link, not the process.
      this.destroy(error as Error)
    }
  }

  #onTime(body: Buffer): void {
    if (this.time.heard(readTimes(body)) || !this.isGreeted) return
    throw clockError(this.time.trouble)
  }

  #drained(): void {
    const waiting = [...this.#drainers]
    this.#drainers.clear()
    for (const fn of waiting) fn()
  }
}

export interface LinkParts {
  readonly clock: Clock
  readonly versions: HybridClock
  readonly traffic: Traffic
}
