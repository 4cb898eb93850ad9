import { HandfastError } from '../../errors.ts'
import type { TicketKeys } from './ticket-install.ts'
import type { TicketKey } from './ticket-key.ts'
import { TicketRing, type TicketRingOptions } from './ticket-ring.ts'

/** The farm's ring of ticket keys, begun when the first server wants stateless tickets. */
export class FarmTicketKeys implements TicketKeys {
  readonly #options: TicketRingOptions
  #ring: TicketRing | undefined
  #started: Promise<void> | undefined
  #closed = false

  constructor(options: TicketRingOptions) {
    this.#options = options
  }

  encrypting(scope: string): TicketKey {
    return this.#begun().encrypting(scope)
  }

  decrypting(name: Buffer, scope: string): TicketKey | undefined {
    return this.#begun().decrypting(name, scope)
  }

  onChange(listener: () => void): () => void {
    return this.#begun().onChange(listener)
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
