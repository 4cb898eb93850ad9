import type { EngineContext } from './engine-context.ts'

/** Members have the next key this long, ms, before it is used. */
const keyLead = 1_000

export interface EpochKey {
  readonly epoch: number
  readonly epochKey: Buffer
}

/**
 * The key under which this member seals its datagrams. First everybody gets the next one, then it
 * is used. Receivers keep two keys, so everything that can still be repaired must be sealed under
 * the last two: no two turns in a ring's age.
 */
export class EpochKeys {
  readonly #context: EngineContext
  readonly #startedAt: number
  #key: EpochKey
  #next: (EpochKey & { readonly useAt: number }) | undefined
  #turnedAt = -Infinity
  #isDue = false

  constructor(context: EngineContext, epochKey: Buffer) {
    this.#context = context
    this.#startedAt = context.now
    this.#key = { epoch: 0, epochKey }
  }

  get current(): EpochKey {
    return this.#key
  }

  /** A member has been told the current one: there may be a next one that it is to have, too. */
  introduced(id: string): void {
    const { outlet } = this.#context
    if (this.#next !== undefined) outlet.message(id, { type: 'key', ...this.#next })
  }

  /** Another one, as soon as it may follow the last. */
  rotate(): void {
    this.#isDue = true
    this.turn()
  }

  /** To be called over and over. */
  turn(): void {
    const { sender, options, now } = this.#context
    const { keyAge, ringAge } = options.settings
    if (this.#next !== undefined) {
      if (this.#next.useAt > now) return
      this.#key = this.#next
      this.#next = undefined
      this.#turnedAt = now
      sender.rekey(this.#key.epoch, this.#key.epochKey)
      return
    }
    if (now - Math.max(this.#turnedAt, this.#startedAt) > keyAge) this.#isDue = true
    if (this.#isDue && now - this.#turnedAt > ringAge) this.#handOut()
  }

  #handOut(): void {
    const { roster, outlet, options, sender, now } = this.#context
    const key = { epoch: (sender.epoch + 1) % 256, epochKey: options.newKey() }
    this.#isDue = false
    this.#next = { ...key, useAt: now + keyLead }
    for (const peer of roster.all())
      if (peer.connected) outlet.message(peer.id, { type: 'key', ...key })
  }
}
