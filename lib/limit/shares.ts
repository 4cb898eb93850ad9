export interface SharesOptions {
  /** So many at a time. */
  readonly most: number
  /** How much of it one name may have when no other has any, above 0; 1: all of it. */
  readonly share: number
}

/** Four fifths: one client alone gets most of what there is, and the next one still gets in. */
export const usualShare = 0.8

/**
 * So many at a time, of which no name gets all while it is the only one: the next to come
 * finds room. A name may have so much more than what is free that, alone, it ends at `share`;
 * with others about each gets less (Choudhury and Hahne, "Dynamic queue length thresholds for
 * shared-memory packet switches", 1998). A quarter of what is kept back is for names that have
 * none at all: else a few that are greedy one after the other would eat it up. Nothing has to
 * be known of how many names there will be, and nothing is searched.
 *
 * Of less than five nothing is kept back at the usual share: a fifth of it is not one.
 */
export class Shares {
  #most = 0
  #factor = 0
  /** So much is for who has none. */
  #last = 0
  readonly #held = new Map<string, number>()
  #used = 0

  constructor(options: SharesOptions) {
    this.resize(options)
  }

  /** What is taken stays so, even where it is more than there is now. */
  resize({ most, share }: SharesOptions): void {
    this.#most = most
    this.#factor = share / (1 - share)
    this.#last = (most * (1 - share)) / 4
  }

  get most(): number {
    return this.#most
  }

  get used(): number {
    return this.#used
  }

  /** How much the name has. */
  heldBy(name: string): number {
    return this.#held.get(name) ?? 0
  }

  /**
   * Takes one; false when there is none for the name. Without a name only the whole counts, as
   * for a balancer that stands for many. Who got one gives it back with `release`, once.
   */
  take(name: string | undefined): boolean {
    if (!this.hasRoom(name)) return false
    this.add(name)
    return true
  }

  /** Counts one that the name has, whether there is room for it or not. */
  add(name: string | undefined): void {
    if (name !== undefined) this.#held.set(name, this.heldBy(name) + 1)
    this.#used += 1
  }

  /** Whether there is one for the name. */
  hasRoom(name: string | undefined): boolean {
    const free = this.#most - this.#used
    if (free <= 0) return false
    if (name === undefined) return true
    const held = this.heldBy(name)
    // Rounding must not make a share larger.
    return held < this.#factor * free - 1e-6 && (held === 0 || free > this.#last)
  }

  release(name: string | undefined): void {
    this.#used -= 1
    if (name === undefined) return
    const held = this.heldBy(name)
    if (held > 1) this.#held.set(name, held - 1)
    else this.#held.delete(name)
  }
}
