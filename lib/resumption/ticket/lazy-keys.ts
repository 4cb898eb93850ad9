import { HandfastError } from '../../errors.ts'
import type { EpochKey } from './epoch-key.ts'
import type { TicketKeys } from './sealed-tickets.ts'
import { TicketRing, type TicketRingOptions } from './ticket-ring.ts'

/** The farm's ring of ticket keys, begun when the first server wants sealed tickets. */
export class FarmTicketKeys implements TicketKeys {
  readonly #options: TicketRingOptions
  #ring: TicketRing | undefined
  #started: Promise<void> | undefined
  #closed = false

  constructor(options: TicketRingOptions) {
    this.#options = options
  }

  sealing(): EpochKey | undefined {
    return this.#ring?.sealing()
  }

  opening(): readonly EpochKey[] {
    return this.#ring?.opening() ?? []
  }

  prepare(): void {
    this.#begun()
  }

  /** Makes every ticket of the farm worthless. True when every reachable member knows. */
  async withdrawAll(): Promise<boolean> {
    const ring = this.#begun()
    await this.#started
    return ring.withdrawAll()
  }

  close(): void {
    this.#closed = true
    this.#ring?.close()
  }

  #begun(): TicketRing {
    if (this.#closed) throw new HandfastError('ERR_HANDFAST_CLOSED', 'the farm is closed')
    if (this.#ring === undefined) {
      this.#ring = new TicketRing(this.#options)
      this.#started = this.#ring.start()
    }
    return this.#ring
  }
}
