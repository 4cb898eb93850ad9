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
  readonly #ours: PropertyDescriptor

  constructor(object: object, name: string, ours: T | { readonly get: () => T }) {
    this.before = Reflect.get(object, name)
    this.#object = object
    this.#name = name
    this.#own = Object.getOwnPropertyDescriptor(object, name)
    this.#ours =
      typeof ours === 'function'
        ? { value: ours, writable: true, enumerable: true }
        : (ours as PropertyDescriptor)
    Object.defineProperty(object, name, { ...this.#ours, configurable: true })
  }

  remove(): void {
    const now = Object.getOwnPropertyDescriptor(this.#object, this.#name)
    if (now?.value !== this.#ours.value || now?.get !== this.#ours.get) return
    if (this.#own === undefined) Reflect.deleteProperty(this.#object, this.#name)
    else Object.defineProperty(this.#object, this.#name, this.#own)
  }
}
