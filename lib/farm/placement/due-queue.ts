/**
 * Things that each are due once, about in the order in which they were put in: one that is due
 * earlier than those before it waits for them.
 */
export class DueQueue<Item> {
  readonly #items = new Map<Item, number>()

  /** When the first is due. */
  get deadline(): number {
    for (const at of this.#items.values()) return at
    return Infinity
  }

  /** Once it is in, it stays due when it was. */
  add(item: Item, at: number): void {
    if (!this.#items.has(item)) this.#items.set(item, at)
  }

  delete(item: Item): void {
    this.#items.delete(item)
  }

  /** Takes out those that are due. */
  take(now: number): Item[] {
    const due: Item[] = []
    for (const [item, at] of this.#items) {
      if (at > now) break
      due.push(item)
    }
    for (const item of due) this.#items.delete(item)
    return due
  }
}
