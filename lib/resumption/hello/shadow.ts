/**
 * A property of ours before an object's own, until it is removed. Whoever has wrapped ours by
 * then keeps what it made of it, so ours must do as `before` does from then on.
 */
export class Shadow<T> {
  /** What it hides. */
  readonly before: T
  readonly #object: object
  readonly #name: string
  readonly #own: PropertyDescriptor | undefined
  readonly #ours: T

  constructor(object: object, name: string, ours: T) {
    this.before = Reflect.get(object, name)
    this.#object = object
    this.#name = name
    this.#own = Object.getOwnPropertyDescriptor(object, name)
    this.#ours = ours
    const kind = { writable: true, enumerable: true, configurable: true }
    Object.defineProperty(object, name, { ...kind, value: ours })
  }

  remove(): void {
    const now = Object.getOwnPropertyDescriptor(this.#object, this.#name)
    if (now?.value !== this.#ours) return
    if (this.#own === undefined) Reflect.deleteProperty(this.#object, this.#name)
    else Object.defineProperty(this.#object, this.#name, this.#own)
  }
}
