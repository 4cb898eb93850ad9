import type { Clock } from '../../../clock.ts'
import type { Log } from '../../../log.ts'
import type { InterfaceAddresses } from '../../native/interface-addresses.ts'
import type { PacketPort, PacketPorts } from '../../native/packets/packet-port.ts'
import type { BareSegment, Segment } from '../../native/packets/segment.ts'
import type { StrayPort, StrayPorts } from '../../native/strays/stray-port.ts'

export interface SharedAddressParts {
  readonly address: string
  /** The interface that clients are behind. */
  readonly interface: string
  readonly clock: Clock
  readonly log: Log
  readonly packets: PacketPorts
  readonly addresses: InterfaceAddresses
  readonly strays?: StrayPorts | undefined
  ports(): readonly number[]
  onStray(segment: Segment): void
}

/** Where an address stands that a link must not hear of: it is the switch's there. */
const device = 'lo'
/** Milliseconds after which it is tried again. */
const pause = 5_000

/** The address that all members have, on this host; without it being here strays have an answer. */
export class SharedAddress {
  readonly #parts: SharedAddressParts
  #strays: StrayPort | undefined
  #sending: PacketPort | undefined
  #isHere = false
  #isComing = false
  #notBefore = 0
  #isRefused = false
  #closed = false

  constructor(parts: SharedAddressParts) {
    this.#parts = parts
  }

  get isHere(): boolean {
    return this.#isHere
  }

  /** To be called again and again until it is here. True: from now on it is. */
  async come(): Promise<boolean> {
    const { address, clock, log, packets, addresses, strays, ports } = this.#parts
    const now = clock.monotonic()
    if (this.#isComing || this.#closed || now < this.#notBefore) return false
    this.#isComing = true
    try {
      if (strays === undefined) throw new Error('strays can not be told here')
      this.#sending ??= packets.open(this.#parts.interface, address)
      // Before the address is here: as long as it is not the kernel answers none of them.
      this.#strays ??= await strays.open(address, ports(), this.#parts.onStray)
      if (this.#closed) return false
      addresses.add(device, address)
      this.#isHere = true
      log.info({ address }, 'the shared address is here')
      return true
    } catch (error) {
      this.#notBefore = now + pause
      if (this.#isRefused) return false
      this.#isRefused = true
      log.error({ address, reason: String(error) }, 'the shared address is not here')
      return false
    } finally {
      this.#isComing = false
      if (this.#closed) await this.#closePorts()
    }
  }

  /** Packets come here no more; strays of before have no answer. */
  leave(): void {
    const { address, addresses, log } = this.#parts
    if (!this.#isHere) return
    this.#isHere = false
    try {
      addresses.remove(device, address)
    } catch (error) {
      log.error({ address, reason: String(error) }, 'an address stays here')
    }
  }

  send(segment: BareSegment): void {
    this.#sending?.send(segment)
  }

  /** Gives a stray to the kernel. */
  pass(segment: Segment): void {
    this.#strays?.pass(segment)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.leave()
    await this.#closePorts()
  }

  async #closePorts(): Promise<void> {
    const [strays, sending] = [this.#strays, this.#sending]
    this.#strays = undefined
    this.#sending = undefined
    sending?.close()
    try {
      await strays?.close()
    } catch (error) {
      const { address, log } = this.#parts
      log.error({ address, reason: String(error) }, 'the kernel still drops strays')
    }
  }
}
