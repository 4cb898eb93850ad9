import type { KnownMember } from '../../wire/frame-greeting.ts'
import type { Member } from '../transport.ts'
import type { Origin } from './applied-vector.ts'

type State = Member['state']

/** The other members that this one has heard of, and what became of them. */
export class MemberDirectory {
  readonly #members = new Map<string, Entry>()

  get size(): number {
    return this.#members.size
  }

  has(id: string): boolean {
    return this.#members.has(id)
  }

  /** The member said this of itself. A newer run of it takes the place of an older one. */
  note(
    { id, incarnation }: Origin,
    state: State,
    address: string | undefined,
    now: number,
  ): void {
    const known = this.#members.get(id)
    // One that only dialled us may be known by a better address already.
    const kept = known?.incarnation === incarnation ? known.address : undefined
    const entry = { id, incarnation, address: address ?? kept, state, heardAt: now }
    this.#members.set(id, entry)
  }

  /** Does nothing when a newer run of the member has taken its place. */
  mark({ id, incarnation }: Origin, state: State, now: number): void {
    const entry = this.#members.get(id)
    if (entry === undefined || entry.incarnation !== incarnation) return
    // Its links end after it has taken its leave; that makes it no less orderly.
    if (entry.state === 'left') return
    if (entry.state !== 'gone') entry.heardAt = now
    entry.state = state
  }

  count(state: State): number {
    let count = 0
    for (const entry of this.#members.values()) if (entry.state === state) count += 1
    return count
  }

  list(): Member[] {
    return [...this.#members.values()].map(({ id, incarnation, address, state }) => ({
      id,
      incarnation,
      address,
      state,
      self: false,
    }))
  }

  /** The members worth telling to others. */
  known(): KnownMember[] {
    const known: KnownMember[] = []
    for (const { id, incarnation, address, state } of this.#members.values()) {
      if (address !== undefined && !isAway(state))
        known.push({ id, incarnation, address })
    }
    return known
  }

  /** Drops the members that have been gone since before `then`, and names them. */
  forget(then: number): string[] {
    const forgotten: string[] = []
    for (const [id, { state, heardAt }] of this.#members) {
      if (!isAway(state) || heardAt > then) continue
      this.#members.delete(id)
      forgotten.push(id)
    }
    return forgotten
  }
}

function isAway(state: State): boolean {
  return state === 'gone' || state === 'left'
}

interface Entry {
  readonly id: string
  readonly incarnation: number
  readonly address: string | undefined
  state: State
  heardAt: number
}
