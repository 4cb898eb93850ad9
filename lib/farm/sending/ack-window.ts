/** An acker that makes no progress for this long, ms, no longer holds the sender up. */
const silentAfter = 1_000

interface Acker {
  acked: number
  /** Last time it had everything, or got further. */
  progressAt: number
  silent: boolean
  /** What it says it can take. */
  window: number
}

/**
 * The fourth brake: a sender runs at most a window ahead of the slowest acker. Aeron's tagged
 * flow control works alike; and one that stands still is left out after a second, so that a
 * stopped member never stops the farm.
 */
export class AckWindow<Id> {
  readonly #length: number
  readonly #ackers = new Map<Id, Acker>()

  constructor(length: number) {
    this.#length = length
  }

  get size(): number {
    return this.#ackers.size
  }

  /** Ackers left out at the moment. */
  get silent(): number {
    let silent = 0
    for (const acker of this.#ackers.values()) if (acker.silent) silent += 1
    return silent
  }

  /** Some acker lacks a datagram. */
  behind(last: number): boolean {
    for (const acker of this.#ackers.values()) if (acker.acked < last) return true
    return false
  }

  has(id: Id): boolean {
    return this.#ackers.has(id)
  }

  ids(): Id[] {
    return [...this.#ackers.keys()]
  }

  /** `last`: what was sent before it became an acker and is none of its business. */
  add(id: Id, last: number, now: number): void {
    this.#ackers.set(id, {
      acked: last,
      progressAt: now,
      silent: false,
      window: this.#length,
    })
  }

  remove(id: Id): void {
    this.#ackers.delete(id)
  }

  acked(id: Id, contiguous: number, window: number, last: number, now: number): void {
    const acker = this.#ackers.get(id)
    if (acker === undefined) return
    acker.window = Math.max(1, window)
    if (contiguous > acker.acked || contiguous >= last) acker.progressAt = now
    acker.acked = Math.max(acker.acked, contiguous)
    if (last - acker.acked < this.#length) acker.silent = false
  }

  /** It says itself that it can't acknowledge yet. */
  leaveOut(id: Id): void {
    const acker = this.#ackers.get(id)
    if (acker !== undefined) acker.silent = true
  }

  /** The first datagram after a rest starts the clock of everybody who waits for it. */
  sent(last: number, now: number): void {
    for (const acker of this.#ackers.values())
      if (acker.acked >= last - 1) acker.progressAt = now
  }

  permits(last: number): boolean {
    for (const acker of this.#ackers.values()) {
      if (acker.silent) continue
      if (last - acker.acked >= Math.min(this.#length, acker.window)) return false
    }
    return true
  }

  /** When the next acker may have to be left out. */
  deadline(last: number): number {
    let deadline = Infinity
    for (const acker of this.#ackers.values())
      if (!acker.silent && acker.acked < last)
        deadline = Math.min(deadline, acker.progressAt + silentAfter)
    return deadline
  }

  /** `late`: our own loop was held up, so acks may lie unread; everybody gets the time again. */
  expire(last: number, now: number, late: boolean): void {
    for (const acker of this.#ackers.values()) {
      if (acker.silent || acker.acked >= last) continue
      if (late) acker.progressAt = now
      else if (acker.progressAt + silentAfter <= now) acker.silent = true
    }
  }
}
