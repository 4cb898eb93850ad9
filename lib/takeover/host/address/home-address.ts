import type { Clock } from '../../../clock.ts'
import type { Log } from '../../../log.ts'
import type { AddressQuestion, PacketPorts } from '../../native/packets/packet-port.ts'

export interface HomeAddressParts {
  readonly address: string
  readonly interface: string
  /** Milliseconds for which nobody must have said to have it. */
  readonly quiet: number
  readonly clock: Clock
  readonly log: Log
  readonly packets: PacketPorts
  /** From now on it is one of this host; throws when it can't be. */
  hold(): void
}

/**
 * This member's own address, that is taken when nobody has it. Whoever took it over while this host
 * was away may not be heard in the farm yet, so the link is asked as well.
 */
export class HomeAddress {
  readonly #parts: HomeAddressParts
  /** To the link; undefined while the address is here, or known to be elsewhere. */
  #question: AddressQuestion | undefined
  /** Since when nobody has said to have it. */
  #freeSince = Infinity
  #isRefused = false

  constructor(parts: HomeAddressParts) {
    this.#parts = parts
  }

  /** To be called again and again as long as nobody in the farm is known to have it. */
  come(now: number): void {
    const { address, quiet, log, packets, hold } = this.#parts
    try {
      this.#ask(now)
      if (now - this.#freeSince < quiet) return
      this.stopAsking()
      hold()
      const port = packets.open(this.#parts.interface, address)
      port.announce()
      port.close()
      log.info({ address }, 'the virtual address is here')
    } catch (error) {
      if (this.#isRefused) return
      this.#isRefused = true
      log.error({ address, reason: String(error) }, 'the virtual address is not here')
    }
  }

  stopAsking(): void {
    this.#question?.close()
    this.#question = undefined
  }

  #ask(now: number): void {
    if (this.#question !== undefined) {
      this.#question.again()
      return
    }
    const { address, log, clock, packets } = this.#parts
    let isSaid = false
    this.#freeSince = now
    this.#question = packets.ask(this.#parts.interface, address, () => {
      this.#freeSince = clock.monotonic()
      if (isSaid) return
      isSaid = true
      log.warn(
        { address },
        'another host on the link has the virtual address: it stays there',
      )
    })
  }
}
