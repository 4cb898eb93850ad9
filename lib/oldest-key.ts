/** Sets of the map; then what its iterator keeps is let go. */
const longestIdle = 1_000

/**
 * The key that was set longest ago, in a map that takes out its oldest entries as it gets new ones.
 *
 * Each new iterator of a map passes over the holes that V8 keeps of what was deleted: so one is kept,
 * which stands behind all of them. But an iterator that is not asked for a while keeps every table
 * that its map has had since, without a bound: then it is given up.
 */
export class OldestKey<Key> {
  readonly #map: ReadonlyMap<Key, unknown>
  #keys: Iterator<Key> | undefined
  #idle = 0

  constructor(map: ReadonlyMap<Key, unknown>) {
    this.#map = map
  }

  /** There has to be one, and it has to be deleted. */
  next(): Key {
    this.#idle = 0
    this.#keys ??= this.#map.keys()
    return this.#keys.next().value as Key
  }

  /** To be called whenever something was set, and nothing had to go. */
  rest(): void {
    if (this.#keys === undefined) return
    this.#idle += 1
    if (this.#idle === longestIdle) this.#keys = undefined
  }
}
