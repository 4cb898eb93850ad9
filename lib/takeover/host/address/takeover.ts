import type { Clock, Timer } from '../../../clock.ts'
import type { PacketPort } from '../../native/packets/packet-port.ts'
import {
  type Bequest,
  type RestorationParts,
  Restorations,
} from '../restore/restorations.ts'

export interface TakeoverParts<Subject>
  extends Omit<RestorationParts<Subject>, 'port' | 'onChange'> {
  /** Of the address; this takeover starts it, and closes it. */
  readonly port: PacketPort
  readonly clock: Clock
  /** Makes the address one of this host. */
  bring(): Promise<void>
  /** No connection is watched any more. */
  onOver?(): void
}

/** What became of the connections of one host. */
export interface TakeoverReport {
  readonly served: number
  readonly reset: number
  /** From the first probe until the address was here, milliseconds. */
  readonly wait: number
}

/** All who can be asked soon have answered by then; for the others the address does not wait. */
const addressPatience = 100
/** Caches of ARP that missed the first word hear it again; ms after the address came. */
const announcements = [0, 30, 200, 1_000]

/**
 * All connections of a host that is gone and fenced, in the order of the patent: probe them while
 * nobody has their address, so that no kernel answers in between; restore those that answer; bring
 * the address; serve. Whoever answers later is served later.
 */
export class Takeover<Subject> {
  readonly #parts: TakeoverParts<Subject>
  readonly #bequests: readonly Bequest<Subject>[]
  readonly #restorations: Restorations<Subject>
  readonly #timers: Timer[] = []
  #onAnswered: (() => void) | undefined
  #isAnnounced = false

  constructor(parts: TakeoverParts<Subject>, bequests: readonly Bequest<Subject>[]) {
    this.#parts = parts
    this.#bequests = bequests
    this.#restorations = new Restorations({ ...parts, onChange: () => this.#changed() })
  }

  /** Resolves when the address is here and all that answered are served. To be called once. */
  async run(): Promise<TakeoverReport> {
    const { port, clock } = this.#parts
    const begun = clock.monotonic()
    port.start(segment => this.#restorations.hear(segment))
    port.announce()
    for (const bequest of this.#bequests) this.#restorations.begin(bequest)
    await this.#answers()
    this.#restorations.tell('hold')
    await this.#parts.bring()
    for (const wait of announcements) {
      this.#timers.push(clock.after(wait, () => port.announce()))
    }
    const announced = clock.after(Math.max(...announcements) + 1, () => {
      this.#isAnnounced = true
      this.#closeIfOver()
    })
    this.#timers.push(announced)
    this.#restorations.tell('here')
    const { served, reset } = this.#restorations
    return { served, reset, wait: clock.monotonic() - begun }
  }

  /** What is served stays so; it is no longer watched. */
  close(): void {
    for (const timer of this.#timers.splice(0)) timer.cancel()
    this.#restorations.close()
    this.#onAnswered?.()
    this.#parts.port.close()
  }

  #answers(): Promise<void> {
    return new Promise(resolve => {
      if (this.#restorations.unanswered === 0) return resolve()
      const timer = this.#parts.clock.after(addressPatience, resolve)
      this.#timers.push(timer)
      this.#onAnswered = resolve
    })
  }

  #changed(): void {
    if (this.#restorations.unanswered === 0) this.#onAnswered?.()
    this.#closeIfOver()
  }

  #closeIfOver(): void {
    if (this.#restorations.size > 0 || !this.#isAnnounced) return
    this.#parts.port.close()
    this.#parts.onOver?.()
  }
}
