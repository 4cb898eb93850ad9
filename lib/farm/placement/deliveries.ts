import type { CacheRecord } from '../../record/record.ts'
import type { ControlMessage } from '../../wire/control-message.ts'
import type { CopyMessage } from '../../wire/copy-message.ts'
import { type Copy, Delivery } from './delivery.ts'
import { DueQueue } from './due-queue.ts'
import { Pace } from './pace.ts'
import type { PlacementCounts } from './placement-counts.ts'

/** Copies of older records for one member that may wait: what is written now goes first. */
const mostMoving = 1_024

export interface DeliveriesParts {
  readonly counts: PlacementCounts
  /** How many members may be given something. */
  members(): number
  /** Wall time. */
  wall(): number
  send(to: string, message: ControlMessage): void
}

/** Copies on their way to all members that there are, and when they leave. */
export class Deliveries {
  readonly #parts: DeliveriesParts
  readonly #pace = new Pace()
  readonly #deliveries = new Map<string, Delivery>()
  readonly #soon = new DueQueue<Delivery>()
  readonly #later = new DueQueue<Delivery>()

  constructor(parts: DeliveriesParts) {
    this.#parts = parts
  }

  /** Members that can be given something. */
  get ids(): string[] {
    return [...this.#deliveries.keys()]
  }

  /** Copies that no member has acknowledged yet. */
  get underWay(): number {
    let size = 0
    for (const delivery of this.#deliveries.values()) size += delivery.size
    return size
  }

  get deadline(): number {
    return Math.min(this.#soon.deadline, this.#later.deadline)
  }

  has(id: string): boolean {
    return this.#deliveries.has(id)
  }

  up(id: string): void {
    this.#deliveries.set(id, new Delivery(id))
  }

  /** The copies that it had not brought for certain. Undefined: there was none. */
  down(id: string): Copy[] | undefined {
    const delivery = this.#deliveries.get(id)
    if (delivery === undefined) return undefined
    this.#deliveries.delete(id)
    this.#soon.delete(delivery)
    this.#later.delete(delivery)
    return delivery.lost()
  }

  /** Since when the member has acknowledged nothing of what it was given. */
  silentSince(id: string): number {
    return this.#deliveries.get(id)?.silentSince ?? Infinity
  }

  /** A write was made, of which copies go out. */
  count(now: number): void {
    this.#pace.count(now)
  }

  /** False when the member is not there, or too much waits for it. */
  give(id: string, copy: Copy, isSoon: boolean, now: number): boolean {
    const delivery = this.#deliveries.get(id)
    if (delivery?.add(copy) !== true) {
      this.#parts.counts.copiesDropped += 1
      return false
    }
    const size = this.#parts.members()
    if (isSoon || delivery.isFull)
      this.#soon.add(delivery, this.#pace.soon(now, this.#parts.wall(), size))
    else this.#later.add(delivery, this.#pace.later(now, size))
    return true
  }

  /** A record that was here before. False when the member has enough to do. */
  move(to: string, record: CacheRecord): boolean {
    const delivery = this.#deliveries.get(to)
    // It is gone again: the next walk sees to that.
    if (delivery === undefined) return true
    if (delivery.size >= mostMoving) return false
    if (!delivery.add({ record, write: undefined, prompt: false })) return false
    this.#soon.add(delivery, 0)
    this.#parts.counts.recordsMoved += 1
    return true
  }

  /** After what waits, the member is told that this was all. False when it is not there. */
  finish(to: string): boolean {
    const delivery = this.#deliveries.get(to)
    if (delivery === undefined) return false
    delivery.finish()
    this.#soon.add(delivery, 0)
    return true
  }

  /** What the member acknowledges, and what of it it could not take. */
  taken(
    from: string,
    message: CopyMessage & { type: 'taken' },
    now: number,
  ): { readonly taken: readonly Copy[]; readonly refused: readonly Copy[] } {
    const delivery = this.#deliveries.get(from)
    if (delivery === undefined) return { taken: [], refused: [] }
    const { counts } = this.#parts
    const { taken, refused } = delivery.taken(message.upTo, message.refused, now)
    counts.copiesTaken += taken.length
    counts.copiesRefused += refused.length
    return { taken, refused }
  }

  /** What waited for room at the member may leave now. */
  goOn(to: string, now: number): void {
    const delivery = this.#deliveries.get(to)
    if (delivery === undefined) return
    if (delivery.size > 0)
      this.#later.add(delivery, this.#pace.later(now, this.#parts.members()))
    if (delivery.isFull) this.#soon.add(delivery, now)
  }

  tick(now: number): void {
    for (const delivery of [...this.#soon.take(now), ...this.#later.take(now)])
      this.#flush(delivery, now)
  }

  /** All that may leave leaves now. */
  flush(now: number): void {
    for (const delivery of this.#deliveries.values()) this.#flush(delivery, now)
  }

  #flush(delivery: Delivery, now: number): void {
    this.#soon.delete(delivery)
    this.#later.delete(delivery)
    const { counts } = this.#parts
    for (const message of delivery.flush(now)) {
      if (message.type === 'give') {
        counts.copyMessages += 1
        counts.copiesGiven += message.records.length
      }
      this.#parts.send(delivery.to, message)
    }
  }
}
