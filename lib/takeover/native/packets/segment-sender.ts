import type { Libc } from '../libc.ts'
import { socketAddress } from '../socket-address.ts'
import { type BareSegment, segmentPacket } from './segment.ts'

/** Of linux/socket.h. */
const inet = 2
const kind = { raw: 3, closeOnExec: 0o2000000 } as const
/** What is sent has its own header of IP; nothing is received. */
const bareProtocol = 255

/** Sends segments that are of no socket of this host. Needs CAP_NET_RAW. */
export class SegmentSender {
  readonly #libc: Libc
  readonly #fd: number
  #isClosed = false

  constructor(libc: Libc) {
    this.#libc = libc
    this.#fd = libc.socket(inet, kind.raw | kind.closeOnExec, bareProtocol)
  }

  /** It may be lost, as any; after `close` it is. */
  send(segment: BareSegment): void {
    if (this.#isClosed) return
    const to = socketAddress({ ...segment.destination, port: 0 })
    attempt(() => this.#libc.sendTo(this.#fd, segmentPacket(segment), to))
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#libc.closeLater(this.#fd)
  }
}

/** A link that is down, or a full queue: as good as lost on the way. */
export function attempt(call: () => void): void {
  try {
    call()
  } catch (error) {
    if (!lost.has((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

const lost = new Set(['ENETDOWN', 'ENETUNREACH', 'EHOSTUNREACH', 'ENOBUFS', 'EAGAIN'])
