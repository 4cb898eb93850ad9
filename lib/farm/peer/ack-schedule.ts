/** An acker answers at once, but then not again within its interval, unless so many came. */
const datagramsPerAck = 32

/** Between two acknowledgements of datagrams, ms; those of a link share its turns anyway. */
export const ackInterval = 1

/**
 * When to acknowledge one sender. Acknowledgements are cumulative and say that everything up
 * to a number is in the table.
 */
export class AckSchedule {
  readonly #interval: number
  #acker = false
  /** Up to here the sender asked everybody. */
  #requested = 0
  #said = 0
  #saidAt = -Infinity
  #since = 0
  #dueAt = Infinity
  /** `sent at` of the newest datagram and when it came. */
  #echo = { sentAt: 0, at: 0 }

  /** Ms between two. */
  constructor(interval: number) {
    this.#interval = interval
  }

  get acker(): boolean {
    return this.#acker
  }

  get deadline(): number {
    return this.#dueAt
  }

  /** What the last one said. */
  get said(): number {
    return this.#said
  }

  /** There is more to say than was said. */
  again(now: number): void {
    this.#dueAt = now
  }

  appoint(acker: boolean, now: number): void {
    this.#acker = acker
    if (acker) this.#dueAt = now
  }

  /** `requested`: the datagram asks everybody to acknowledge it. */
  data(
    came: { sequence: number; sentAt: number; requested: boolean },
    contiguous: number,
    now: number,
  ): void {
    this.#echo = { sentAt: came.sentAt, at: now }
    if (came.requested) this.#requested = Math.max(this.#requested, came.sequence)
    this.#since += 1
    const asked =
      this.#acker || (this.#requested > this.#said && contiguous >= this.#requested)
    if (!asked || contiguous <= this.#said) return
    const at = this.#since >= datagramsPerAck ? now : this.#saidAt + this.#interval
    this.#dueAt = Math.min(this.#dueAt, Math.max(now, at))
  }

  /** The sender asks this member alone to acknowledge all up to a number. */
  ask(upTo: number, contiguous: number, now: number): void {
    this.#requested = Math.max(this.#requested, upTo)
    // What was said before may have been said of a table that lacked something.
    this.#said = Math.min(this.#said, contiguous)
    if (contiguous >= this.#requested) this.#soon(now)
  }

  /** The sender wants to know where we are. */
  flush(last: number, contiguous: number, now: number): void {
    if (this.#acker || contiguous >= last) this.#soon(now)
  }

  /** What to say now; undefined when nothing is due. */
  due(contiguous: number, now: number): { echo: number; held: number } | undefined {
    if (now < this.#dueAt) return undefined
    this.#dueAt = Infinity
    this.#said = contiguous
    this.#saidAt = now
    this.#since = 0
    return { echo: this.#echo.sentAt, held: now - this.#echo.at }
  }

  #soon(now: number): void {
    this.#dueAt = Math.min(this.#dueAt, Math.max(now, this.#saidAt + this.#interval))
  }
}
