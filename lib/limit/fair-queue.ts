/** Who waits: the network of a client, and within it one of its connections. */
export interface QueuePlace {
  readonly network: string
  readonly connection: object
}

/**
 * What waits for something of which there is little. Networks have their turns one after the
 * other, and within a network its connections: who brings a hundred waits for his own hundred,
 * and everybody else for one of them. How much may wait is up to whoever adds.
 */
export class FairQueue<Item> {
  readonly #networks = new Map<string, Map<object, Item[]>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add({ network, connection }: QueuePlace, item: Item): void {
    let connections = this.#networks.get(network)
    if (connections === undefined) {
      connections = new Map()
      this.#networks.set(network, connections)
    }
    const items = connections.get(connection)
    if (items === undefined) connections.set(connection, [item])
    else items.push(item)
    this.#size += 1
  }

  /**
   * Whose turn it is; it waits no longer. A network whose turn it is and whose item is not
   * accepted keeps its place, and the next one is looked at.
   */
  next(accept: (item: Item) => boolean = () => true): Item | undefined {
    for (const [network, connections] of this.#networks) {
      for (const [connection, items] of connections) {
        if (!accept(items[0] as Item)) break
        const item = items.shift()
        this.#size -= 1
        // To the end of the line, both.
        connections.delete(connection)
        this.#networks.delete(network)
        if (items.length > 0) connections.set(connection, items)
        if (connections.size > 0) this.#networks.set(network, connections)
        return item
      }
    }
    return undefined
  }

  /** Those of which something waits. */
  get networks(): Iterable<string> {
    return this.#networks.keys()
  }

  /** Takes out what is last of a network, by the connection of it that has most. */
  takeLast(network: string): Item | undefined {
    let most: [object, Item[]] | undefined
    for (const one of this.#networks.get(network) ?? []) {
      if (most === undefined || one[1].length >= most[1].length) most = one
    }
    const item = most?.[1].at(-1)
    if (most === undefined || item === undefined) return undefined
    this.remove({ network, connection: most[0] }, item)
    return item
  }

  /** Takes one out that waits no longer; false when it does not wait here. */
  remove({ network, connection }: QueuePlace, item: Item): boolean {
    const connections = this.#networks.get(network)
    const items = connections?.get(connection)
    const at = items?.indexOf(item) ?? -1
    if (connections === undefined || items === undefined || at < 0) return false
    items.splice(at, 1)
    this.#size -= 1
    if (items.length === 0) connections.delete(connection)
    if (connections.size === 0) this.#networks.delete(network)
    return true
  }
}
