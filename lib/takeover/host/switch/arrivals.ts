import type { Clock, Timer } from '../../../clock.ts'
import type { NativeSocket } from '../../native/native-socket.ts'
import type { PacketPort, PacketPorts } from '../../native/packets/packet-port.ts'
import type { BareSegment, Segment } from '../../native/packets/segment.ts'
import type { Left } from '../bequests.ts'
import type { HostTakeoverParts } from '../host-takeover-parts.ts'
import type { Flow } from '../restore/flow.ts'
import { type Bequest, Restorations } from '../restore/restorations.ts'

export interface ArrivalsParts extends Pick<HostTakeoverParts, 'adopt' | 'onReset'> {
  readonly address: string
  readonly interface: string
  readonly clock: Clock
  readonly sockets: NativeSocket
  readonly packets: PacketPorts
  send(segment: BareSegment): void
}

/**
 * Connections that were granted to this member. What comes for a socket is no stray, so as long as
 * they are watched their headers are read from the interface.
 */
export class Arrivals {
  readonly #parts: ArrivalsParts
  readonly #restorations: Restorations<Left>
  #port: PacketPort | undefined
  #timer: Timer | undefined

  constructor(parts: ArrivalsParts) {
    this.#parts = parts
    this.#restorations = new Restorations<Left>({
      ...parts,
      port: { send: segment => parts.send(segment) },
      device: parts.interface,
      serve: (socket, { checkpoint, standing }, place) =>
        parts.adopt(socket, checkpoint, { ...place, standing }),
      onReset: (_left, cause) => parts.onReset(cause),
      onChange: () => this.#changed(),
    })
  }

  has(flow: Flow): boolean {
    return this.#restorations.has(flow)
  }

  /** Goes on with a connection; where a segment of its client says that it is, if one has come. */
  take(bequest: Bequest<Left>, segment: Segment | undefined): void {
    try {
      this.#listen()
    } catch {
      this.#parts.onReset('kernel')
      return
    }
    const flow = this.#restorations.begin(bequest)
    this.#changed()
    this.#restorations.tell('here', flow)
    if (segment !== undefined) this.#restorations.hear(segment)
  }

  /** What is served stays so. */
  close(): void {
    this.#restorations.close()
    this.#deafen()
  }

  #listen(): void {
    if (this.#port !== undefined) return
    const { packets, address } = this.#parts
    const port = packets.open(this.#parts.interface, address)
    port.start(segment => this.#restorations.hear(segment))
    this.#port = port
  }

  /** For all that change together. */
  #changed(): void {
    if (this.#restorations.size === 0) this.#deafen()
    else {
      this.#timer ??= this.#parts.clock.after(0, () => {
        this.#timer = undefined
        this.#port?.only(this.#restorations.remotes)
      })
    }
  }

  #deafen(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#port?.close()
    this.#port = undefined
  }
}
