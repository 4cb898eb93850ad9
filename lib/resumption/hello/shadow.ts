/**
 * A property of ours before an object's own, until it is removed. Whoever has wrapped ours by
 * then keeps what it made of it, so ours must do as `before` does from then on.
 */
export class Shadow<T> {
  /** What it hides. */
  readonly before: T
  readonly #object: Shadowed
  readonly #name: string
  readonly #own: PropertyDescriptor | undefined
  readonly #ours: T

  constructor(object: object, name: string, ours: T) {
    const shadowed = object as Shadowed
    this.before = shadowed[name] as T
    this.#object = shadowed
    this.#name = name
    this.#ours = ours
    if (Object.hasOwn(object, name)) {
      this.#own = Object.getOwnPropertyDescriptor(object, name)
      const kind = { writable: true, enumerable: true, configurable: true }
      Object.defineProperty(object, name, { ...kind, value: ours })
    } else {
      // The usual case, three times for each connection: an assignment costs a tenth.
      shadowed[name] = ours
    }
  }

  /** The object is as it was. */
  remove(): void {
    if (this.#object[this.#name] !== this.#ours) return
    if (this.#own === undefined) Reflect.deleteProperty(this.#object, this.#name)
    else Object.defineProperty(this.#object, this.#name, this.#own)
  }

  /**
   * For what there are many of: the object does as it did, by a property of its own. To take one away
   * would have V8 keep it as a dictionary from then on, slow and large: on Node 24 whichever it is, on
   * Node 20 any but the one that came last.
   */
  giveBack(): void {
    if (this.#own !== undefined) this.remove()
    else if (this.#object[this.#name] === this.#ours) {
      this.#object[this.#name] = this.before
    }
  }
}

type Shadowed = { [name: string]: unknown }
