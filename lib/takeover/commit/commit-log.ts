import { BoundedMap } from '../../bounded-map.ts'
import type { Clock, Timer } from '../../clock.ts'
import { type Life, mostNames } from './commit-word.ts'

/**
 * Whether what follows from a word may be said:
 *
 * - `known`: all who could go on with the connection have the word.
 * - `late`: not all have it, and none of these has an older one to go on from.
 * - `refused`: one of them may have. Whatever is said now could be said otherwise by that one.
 */
export type CommitOutcome = 'known' | 'late' | 'refused'

export interface CommitLogParts {
  readonly clock: Clock
  /** Longest wait for others, ms. */
  readonly patience: number
  /** Whether a member was heard lately. Who was not is not named in new words. */
  readonly isLive: (member: string) => boolean
}

/**
 * What this member has told the others of its connections, and who has it by now.
 *
 * The rule that makes it safe to go on with a connection of TLS, where no two texts may be sealed
 * under one number: before something is said that does not follow from a word that another member
 * may hold, that member has said that it holds a newer one, or it is certain that it never takes
 * anything over again. Who may count on a word is named in it, so whoever came by one in another
 * way, or was started anew since, counts on none. No clock is part of it: however long somebody
 * is silent, it is waited for, or the connection is given up.
 *
 * Each connection has a key here, and a place where its words stand: its own, or that of its
 * bundle. A word has all that stands at its place, so whoever has it knows of no connection there
 * less than was said up to then; but each waits for itself, and for nobody's sake is another one
 * given up.
 */
export class CommitLog {
  readonly #parts: CommitLogParts
  readonly #members = new Map<string, Life>()
  /** Of members that are gone: what they have said last still counts. */
  readonly #former = new BoundedMap<string, Life>(mostGone)
  /** Those that did not answer in time, until they do. */
  readonly #outOfStep = new Set<Life>()
  /** Those that were certain to take nothing over; never named again. */
  readonly #gone = new BoundedMap<Life, true>(mostGone)
  readonly #threads = new Map<string, Thread>()
  readonly #places = new Map<string, Place>()
  /** By the number of a word. */
  readonly #byNumber = new Map<number, Place>()
  #lastNumber = 0
  readonly #counts = { known: 0, late: 0, refused: 0 }

  constructor(parts: CommitLogParts) {
    this.#parts = parts
  }

  /** Waits since start, by what came of them. */
  get counts(): Readonly<Record<CommitOutcome, number>> {
    return { ...this.#counts }
  }

  /** Connections of which others may hold something. */
  get size(): number {
    return this.#threads.size
  }

  /** A member that may take over says so. Its former life is over, if this is another one. */
  met(member: string, life: Life): void {
    const before = this.#members.get(member)
    if (before === life || this.#gone.has(life)) return
    this.#members.set(member, life)
    this.#former.delete(member)
    if (before !== undefined) this.gone(before)
  }

  lifeOf(member: string): Life | undefined {
    return this.#members.get(member)
  }

  /** The same; also of one that is gone, until it is forgotten. */
  lastLifeOf(member: string): Life | undefined {
    return this.#members.get(member) ?? this.#former.get(member)
  }

  /** Nothing of one that is gone is gone on with any more. */
  forget(member: string): void {
    this.#former.delete(member)
  }

  /** It never takes anything over again: it has left, or it is fenced. */
  gone(life: Life): void {
    if (this.#gone.has(life)) return
    this.#gone.set(life, true)
    this.#outOfStep.delete(life)
    for (const [member, own] of this.#members) {
      if (own !== life) continue
      this.#members.delete(member)
      this.#former.set(member, life)
    }
    for (const thread of this.#threads.values()) {
      thread.holders.delete(life)
      this.#has(thread, life)
    }
  }

  /**
   * The next word at a place, which says another thing of a connection there. `exact`: others may
   * go on with it from there.
   */
  next(key: string, exact: boolean, place: string = key): NumberedWord {
    const thread = this.#threads.get(key) ?? this.#begin(key, place)
    for (const life of thread.holders) thread.older.add(life)
    if (!exact) thread.holders.clear()
    thread.isExact = exact
    const word = this.#word(thread.place)
    thread.number = word.number
    thread.missing = new Set([...thread.older, ...(exact ? word.names : [])])
    prune(thread.place, this.#byNumber)
    return word
  }

  /** A member has these words, or nothing of their connections. */
  received(life: Life, numbers: readonly number[]): void {
    this.#outOfStep.delete(life)
    for (const number of numbers) {
      for (const thread of this.#byNumber.get(number)?.threads ?? []) {
        if (thread.number <= number) this.#has(thread, life)
      }
    }
  }

  /**
   * Waits for the last word. `all`: until everybody named has it; else until nobody is left that
   * could go on from an older one. Undefined: there is nobody to wait for.
   */
  settled(key: string, all: boolean): Promise<CommitOutcome> | undefined {
    const thread = this.#threads.get(key)
    if (thread === undefined || lacking(thread, all).size === 0) return undefined
    return new Promise(resolve => {
      const timer = this.#parts.clock.after(this.#parts.patience, () => {
        thread.waits.delete(wait)
        for (const life of lacking(thread, all)) this.#outOfStep.add(life)
        this.#end(wait, thread.older.size === 0 ? 'late' : 'refused')
      })
      const wait = { all, resolve, timer }
      thread.waits.add(wait)
    })
  }

  /** Nothing is said on it any more. The next word at its place has it not. */
  over(key: string, place: string = key): NumberedWord {
    const thread = this.#threads.get(key)
    const at = this.#places.get(place) ?? newPlace(place)
    if (thread !== undefined) this.#drop(thread)
    const word = this.#word(at)
    if (at.threads.size === 0) this.#clear(at)
    else prune(at, this.#byNumber)
    return word
  }

  close(): void {
    for (const thread of this.#threads.values()) this.#drop(thread)
  }

  #begin(key: string, name: string): Thread {
    const place = this.#places.get(name) ?? newPlace(name)
    const thread = newThread(key, place)
    this.#threads.set(key, thread)
    this.#places.set(name, place)
    place.threads.add(thread)
    return thread
  }

  /** Whoever is named in it may go on with all that is exact there. */
  #word(place: Place): NumberedWord {
    const exact = [...place.threads].filter(({ isExact }) => isExact)
    const names = exact.length > 0 ? this.#named() : []
    for (const { holders } of exact) for (const life of names) holders.add(life)
    this.#lastNumber += 1
    place.numbers.push(this.#lastNumber)
    this.#byNumber.set(this.#lastNumber, place)
    return { number: this.#lastNumber, names }
  }

  #drop(thread: Thread): void {
    const { key, place, waits } = thread
    this.#threads.delete(key)
    place.threads.delete(thread)
    for (const wait of waits) this.#end(wait, 'refused')
    waits.clear()
    if (place.threads.size === 0) this.#clear(place)
  }

  #clear({ name, numbers }: Place): void {
    this.#places.delete(name)
    for (const number of numbers) this.#byNumber.delete(number)
  }

  #named(): Life[] {
    const { isLive } = this.#parts
    const named = [...this.#members]
      .filter(([member, life]) => !this.#outOfStep.has(life) && isLive(member))
      .map(([, life]) => life)
    return named.slice(0, mostNames)
  }

  #has(thread: Thread, life: Life): void {
    thread.missing.delete(life)
    thread.older.delete(life)
    for (const wait of thread.waits) {
      if (lacking(thread, wait.all).size > 0) continue
      thread.waits.delete(wait)
      this.#end(wait, 'known')
    }
    const isOver = !thread.isExact && thread.missing.size === 0
    if (isOver && thread.waits.size === 0) this.#drop(thread)
  }

  #end({ resolve, timer }: Wait, outcome: CommitOutcome): void {
    timer.cancel()
    this.#counts[outcome] += 1
    resolve(outcome)
  }
}

export interface NumberedWord {
  readonly number: number
  /** Who is named in it. */
  readonly names: readonly Life[]
}

/** Where words of one connection, or of those of one bundle, stand. */
interface Place {
  readonly name: string
  readonly threads: Set<Thread>
  /** Of words whose coming tells something. */
  readonly numbers: number[]
}

/** One connection. */
interface Thread {
  readonly key: string
  readonly place: Place
  /** Of the last word that said another thing of it. */
  number: number
  /** Others may go on from that. */
  isExact: boolean
  /** Those that may go on from the last word, once they have it. */
  readonly holders: Set<Life>
  /** Those that may go on from one before it. */
  readonly older: Set<Life>
  /** Those that are asked for the last word, and have not said that they have it. */
  missing: Set<Life>
  readonly waits: Set<Wait>
}

interface Wait {
  readonly all: boolean
  readonly resolve: (outcome: CommitOutcome) => void
  readonly timer: Timer
}

function newPlace(name: string): Place {
  return { name, threads: new Set(), numbers: [] }
}

function newThread(key: string, place: Place): Thread {
  return {
    key,
    place,
    number: 0,
    isExact: false,
    holders: new Set(),
    older: new Set(),
    missing: new Set(),
    waits: new Set(),
  }
}

function lacking(thread: Thread, all: boolean): Set<Life> {
  return all ? thread.missing : thread.older
}

/** Forgets words whose coming would tell nothing new of any connection. */
function prune({ threads, numbers }: Place, byNumber: Map<number, Place>): void {
  let oldest = numbers.at(-1) ?? 0
  for (const { missing, number } of threads) {
    if (missing.size > 0) oldest = Math.min(oldest, number)
  }
  while (numbers.length > mostNumbers || (numbers[0] ?? oldest) < oldest) {
    byNumber.delete(numbers.shift() ?? 0)
  }
}

/** Words at one place that may be on their way; those before tell nothing that a newer does not. */
const mostNumbers = 64
const mostGone = 1_000
