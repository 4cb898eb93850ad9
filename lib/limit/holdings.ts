export interface HoldingsOptions {
  /** Milliseconds after which what was taken is given back by itself. */
  readonly life: number
  /** Names that are remembered; beyond it the one seen longest ago is forgotten. */
  readonly mostNames?: number
}

/** In half lives: this one, the last, and the one before. */
interface Held {
  half: number
  readonly amounts: [number, number, number]
}

/**
 * How much each name holds of what comes back by itself after a time. Counted by halves of that
 * time, and those that are only partly over count whole: never less than what is held, and
 * never what was taken more than one and a half lives ago.
 */
export class Holdings {
  readonly #half: number
  readonly #most: number
  readonly #held = new Map<string, Held>()

  constructor({ life, mostNames = 65_536 }: HoldingsOptions) {
    this.#half = life / 2
    this.#most = mostNames
  }

  /** Names that are remembered now. */
  get size(): number {
    return this.#held.size
  }

  /** `now` in milliseconds, here and below. */
  heldBy(name: string, now: number): number {
    const held = this.#held.get(name)
    if (held === undefined) return 0
    this.#turn(held, now)
    const [current, last, before] = held.amounts
    return current + last + before
  }

  add(name: string, amount: number, now: number): void {
    const held = this.#held.get(name) ?? { half: this.#halfOf(now), amounts: [0, 0, 0] }
    this.#turn(held, now)
    held.amounts[0] += amount
    // In the order of when they were seen last.
    this.#held.delete(name)
    this.#held.set(name, held)
    this.#forget(now)
  }

  #turn(held: Held, now: number): void {
    const half = this.#halfOf(now)
    for (; held.half < half && held.amounts.some(amount => amount > 0); held.half += 1) {
      held.amounts.unshift(0)
      held.amounts.pop()
    }
    held.half = Math.max(held.half, half)
  }

  #halfOf(now: number): number {
    return Math.floor(now / this.#half)
  }

  /** Two at most for each that came: the map shrinks back after a flood. */
  #forget(now: number): void {
    let looked = 0
    for (const [name, held] of this.#held) {
      if (looked === 2) return
      looked += 1
      if (this.#held.size <= this.#most && held.half + 2 >= this.#halfOf(now)) return
      this.#held.delete(name)
    }
  }
}
