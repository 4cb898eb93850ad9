import { FairQueue, type QueuePlace } from '../../limit/fair-queue.ts'
import { type Priority, priorities, type Urgency } from './urgency.ts'

/** Who waits in a line, and for how long at most is up to whoever put it there. */
export interface Waiter {
  readonly urgency: Urgency
  readonly place: QueuePlace
}

/** So many are taken by priority until one is taken from below. */
const turnsAbove = 15

/**
 * Those that wait for one backend. Higher priorities go first, but for every sixteenth turn, which
 * is for those below in turn: with a sixteenth of what the backend does nothing waits for ever.
 * Within a priority, classes have turns by their weight (deficit round robin,
 * Shreedhar and Varghese 1995; all requests count the same), within a class the networks of
 * clients have theirs one after the other, and within a network its connections.
 */
export class WaitLine<Item extends Waiter> {
  readonly #levels: ReadonlyMap<Priority, Level<Item>> = new Map(
    priorities.map(priority => [priority, new Level<Item>()]),
  )
  #size = 0
  /** Turns since one was given to those below. */
  #turns = 0
  #lowestFirst = false

  get size(): number {
    return this.#size
  }

  /** How many of a priority wait. */
  sizeOf(priority: Priority): number {
    return this.#level(priority).size
  }

  add(item: Item): void {
    this.#level(item.urgency.priority).add(item)
    this.#size++
  }

  /** Takes one out that waits no longer; false when it does not wait here. */
  remove(item: Item): boolean {
    const removed = this.#level(item.urgency.priority).remove(item)
    if (removed) this.#size--
    return removed
  }

  /**
   * Takes out one that is to make room for one of this priority: of the lowest that waits below
   * it, what came last of the network that `part` tells most of.
   */
  takeBelow(priority: Priority, part: (network: string) => number): Item | undefined {
    for (const lower of priorities.slice(priorities.indexOf(priority) + 1).reverse()) {
      const item = this.#level(lower).takeLast(part)
      if (item === undefined) continue
      this.#size--
      return item
    }
    return undefined
  }

  /** Whose turn it is among those that are accepted; it waits no longer. */
  next(accept: (item: Item) => boolean): Item | undefined {
    if (this.#size === 0) return undefined
    const waiting = priorities.filter(priority => this.#level(priority).size > 0)
    for (const priority of this.#order(waiting)) {
      const item = this.#level(priority).next(accept)
      if (item === undefined) continue
      this.#size--
      const above = waiting.length > 1 && priority === waiting[0]
      this.#turns = above ? this.#turns + 1 : 0
      return item
    }
    return undefined
  }

  /** Of those that wait, who is asked first. */
  #order(waiting: readonly Priority[]): readonly Priority[] {
    if (this.#turns < turnsAbove) return waiting
    const [top, ...below] = waiting
    if (top === undefined) return waiting
    this.#lowestFirst = !this.#lowestFirst
    return [...(this.#lowestFirst ? below.reverse() : below), top]
  }

  #level(priority: Priority): Level<Item> {
    return this.#levels.get(priority) as Level<Item>
  }
}

/** One class: its queue, and how many turns it has left in this round. */
interface Class<Item> {
  readonly key: string
  readonly weight: number
  readonly queue: FairQueue<Item>
  left: number
}

/** Classes of one priority in turn. One that has nothing to wait for is forgotten. */
class Level<Item extends Waiter> {
  readonly #classes = new Map<string, Class<Item>>()
  size = 0

  add(item: Item): void {
    const key = keyOf(item.urgency)
    let one = this.#classes.get(key)
    if (one === undefined) {
      const { weight } = item.urgency
      one = { key, weight, queue: new FairQueue(), left: weight }
      this.#classes.set(key, one)
    }
    one.queue.add(item.place, item)
    this.size++
  }

  remove(item: Item): boolean {
    const one = this.#classes.get(keyOf(item.urgency))
    if (one === undefined || !one.queue.remove(item.place, item)) return false
    this.#taken(one)
    return true
  }

  next(accept: (item: Item) => boolean): Item | undefined {
    for (const one of [...this.#classes.values()]) {
      const item = one.queue.next(accept)
      if (item === undefined) continue
      one.left--
      if (one.left <= 0) {
        one.left = one.weight
        // To the end of the line.
        this.#classes.delete(one.key)
        this.#classes.set(one.key, one)
      }
      this.#taken(one)
      return item
    }
    return undefined
  }

  takeLast(part: (network: string) => number): Item | undefined {
    let most = 0
    let found: { of: Class<Item>; network: string } | undefined
    for (const of of this.#classes.values()) {
      for (const network of of.queue.networks) {
        if (part(network) < most) continue
        most = part(network)
        found = { of, network }
      }
    }
    const item = found?.of.queue.takeLast(found.network)
    if (found === undefined || item === undefined) return undefined
    this.#taken(found.of)
    return item
  }

  #taken(one: Class<Item>): void {
    this.size--
    if (one.queue.size === 0) this.#classes.delete(one.key)
  }
}

function keyOf({ name, weight }: Urgency): string {
  return `${weight} ${name}`
}
