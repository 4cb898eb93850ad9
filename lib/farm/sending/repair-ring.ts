/** When a slot was never repaired. */
const never = -Infinity

/**
 * The sealed datagrams that this member sent last, byte for byte as they went out, so that a
 * repair never seals anything again. Bounded by number, bytes and age.
 */
export class RepairRing {
  readonly #length: number
  readonly #maxBytes: number
  readonly #maxAge: number
  readonly #datagrams: (Buffer | undefined)[]
  readonly #sentAt: Float64Array
  readonly #repairedAt: Float64Array
  #tail: number
  #next: number
  #bytes = 0

  /** `last`: sequence number before the first. */
  constructor(limits: { length: number; bytes: number; age: number }, last: number) {
    this.#tail = last + 1
    this.#next = last + 1
    this.#length = limits.length
    this.#maxBytes = limits.bytes
    this.#maxAge = limits.age
    this.#datagrams = new Array(limits.length).fill(undefined)
    this.#sentAt = new Float64Array(limits.length)
    this.#repairedAt = new Float64Array(limits.length)
  }

  /** The lowest sequence number that can be repaired; one past the last when none can. */
  get tail(): number {
    return this.#tail
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The tail once the next datagram is in: what its header must say. */
  tailAfterNext(): number {
    return this.#next - this.#tail >= this.#length ? this.#tail + 1 : this.#tail
  }

  /** Sequence numbers come in order, without gaps. */
  store(sequence: number, datagram: Buffer, now: number): void {
    while (
      this.#tail < this.#next &&
      (this.#next - this.#tail >= this.#length ||
        this.#bytes + datagram.length > this.#maxBytes)
    )
      this.#drop()
    this.#next = sequence + 1
    const slot = sequence % this.#length
    this.#datagrams[slot] = datagram
    this.#sentAt[slot] = now
    this.#repairedAt[slot] = never
    this.#bytes += datagram.length
  }

  get(sequence: number): Buffer | undefined {
    if (sequence < this.#tail || sequence >= this.#next) return undefined
    return this.#datagrams[sequence % this.#length]
  }

  /** When the datagram was last repaired; -Infinity for never. */
  repairedAt(sequence: number): number {
    return this.#repairedAt[sequence % this.#length] ?? never
  }

  repaired(sequence: number, now: number): void {
    this.#repairedAt[sequence % this.#length] = now
  }

  /** Lets go of what is too old. */
  purge(now: number): void {
    while (
      this.#tail < this.#next &&
      (this.#sentAt[this.#tail % this.#length] ?? now) < now - this.#maxAge
    )
      this.#drop()
  }

  #drop(): void {
    const slot = this.#tail % this.#length
    this.#bytes -= this.#datagrams[slot]?.length ?? 0
    this.#datagrams[slot] = undefined
    this.#tail += 1
  }
}
