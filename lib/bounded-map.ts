import { OldestKey } from './oldest-key.ts'

/** A map of at most so many entries: what was set longest ago is forgotten first. */
export class BoundedMap<Key, Value> extends Map<Key, Value> {
  readonly #most: number
  readonly #forgotten: ((value: Value) => void) | undefined
  readonly #oldest: OldestKey<Key> = new OldestKey(this)

  /** `most`: from 1. `forgotten`: told of what makes room, and not of what is deleted. */
  constructor(most: number, forgotten?: (value: Value) => void) {
    super()
    this.#most = most
    this.#forgotten = forgotten
  }

  /** It is the newest from now on. */
  override set(key: Key, value: Value): this {
    this.delete(key)
    super.set(key, value)
    if (this.size > this.#most) this.#forget(this.#oldest.next())
    else this.#oldest.rest()
    return this
  }

  #forget(key: Key): void {
    const value = this.get(key) as Value
    this.delete(key)
    this.#forgotten?.(value)
  }
}
