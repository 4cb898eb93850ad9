import { randomBytes } from 'node:crypto'
import type { Clock } from '../../clock.ts'
import {
  type CommitReceipt,
  type CommitWord,
  type Life,
  lifeLength,
  mostReceived,
} from './commit-word.ts'

/** A word of another member as it is kept here. */
export interface KeptWord {
  /** Under which it can be opened. */
  readonly name: Buffer
  readonly sealed: Buffer
  readonly toldAt: number
  /** Bytes that clients have acknowledged since, by id of the connection. */
  readonly acked: ReadonlyMap<string, number>
}

interface Kept extends KeptWord {
  readonly life: Life
  readonly number: number
  readonly expiresAt: number
  readonly isOver: boolean
  readonly acked: Map<string, number>
}

/**
 * The words of other members that are here. A word never takes the place of a newer one, however
 * late or often it comes: what says that a connection is over stays for as long as any word before
 * it could be in some cache of the farm.
 */
export class CommitShelf {
  readonly #clock: Clock
  readonly #most: number
  #life: Life = newLife()
  readonly #shelves = new Map<string, Shelf>()
  /** By owner. */
  readonly #due = new Map<string, Due>()

  /** `most`: words of one member, those that say that all is over among them. */
  constructor(clock: Clock, most = 200_000) {
    this.#clock = clock
    this.#most = most
  }

  get life(): Life {
    return this.#life
  }

  /** From now on nothing that came before is counted on, and nobody need wait for that. */
  renew(): void {
    this.#life = newLife()
  }

  /** `key`: of the connection or bundle. */
  put(
    owner: string,
    key: string,
    { life, number, entries }: CommitWord,
    word: { readonly name: Buffer; readonly sealed: Buffer; readonly expiresAt: number },
  ): void {
    const shelf = this.#shelves.get(owner) ?? { words: new Map(), keys: new Map() }
    this.#shelves.set(owner, shelf)
    this.#tidy(shelf)
    const before = shelf.words.get(key)
    const isOlder = before?.life === life && number <= before.number
    const hasRoom = before !== undefined || shelf.words.size < this.#most
    if (!isOlder && hasRoom) {
      const acked = new Map(
        entries.map(({ id, acked }) => {
          const name = id.toString('hex')
          return [name, Math.max(acked, before?.acked.get(name) ?? 0)]
        }),
      )
      remove(shelf, key)
      const isOver = entries.length === 0
      const toldAt = this.#clock.monotonic()
      // The newest last: they expire in that order.
      shelf.words.set(key, { ...word, life, number, isOver, toldAt, acked })
      for (const id of acked.keys()) shelf.keys.set(id, key)
    }
    this.#owe(owner, life, number)
  }

  progress(owner: string, id: string, acked: number): void {
    const shelf = this.#shelves.get(owner)
    const kept = shelf?.words.get(shelf.keys.get(id) ?? '')
    if (kept !== undefined) kept.acked.set(id, acked)
  }

  of(owner: string): KeptWord[] {
    const shelf = this.#shelves.get(owner)
    if (shelf === undefined) return []
    this.#tidy(shelf)
    return [...shelf.words.values()].filter(({ isOver }) => !isOver)
  }

  /** One of them. */
  at(owner: string, key: string): KeptWord | undefined {
    const kept = this.#shelves.get(owner)?.words.get(key)
    const isThere = kept?.isOver === false && kept.expiresAt > this.#clock.now()
    return isThere ? kept : undefined
  }

  forget(owner: string): void {
    this.#shelves.delete(owner)
    this.#due.delete(owner)
  }

  /** What is to be told to owners; from now on it is. */
  receipts(): { readonly owner: string; readonly receipt: CommitReceipt }[] {
    const by = this.#life
    return [...this.#due].flatMap(([owner, due]) => {
      if (!due.isNew) return []
      const numbers = due.numbers.slice(-mostReceived)
      // The last ones once more: a receipt may be overtaken by the next, and is lost then.
      due.numbers = numbers.slice(-repeated)
      due.isNew = false
      return [{ owner, receipt: { by, of: due.of, numbers } }]
    })
  }

  #owe(owner: string, of: Life, number: number): void {
    const due = this.#due.get(owner)
    const numbers = due?.of === of ? due.numbers : []
    numbers.push(number)
    this.#due.set(owner, { of, numbers, isNew: true })
  }

  #tidy(shelf: Shelf): void {
    const now = this.#clock.now()
    for (const [key, { expiresAt }] of shelf.words) {
      if (expiresAt > now) return
      remove(shelf, key)
    }
  }
}

interface Shelf {
  readonly words: Map<string, Kept>
  /** Under which key a connection is, by its id. */
  readonly keys: Map<string, string>
}

interface Due {
  readonly of: Life
  numbers: number[]
  isNew: boolean
}

function remove({ words, keys }: Shelf, key: string): void {
  for (const id of words.get(key)?.acked.keys() ?? []) keys.delete(id)
  words.delete(key)
}

const repeated = 32

function newLife(): Life {
  return randomBytes(lifeLength).toString('hex')
}
