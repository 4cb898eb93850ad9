import { type Greeting, type KnownMember, maxMembers } from '../../wire/frame-greeting.ts'
import type { AbsentMember, Member } from '../transport.ts'
import type { Life } from './life.ts'

type State = Member['state']

/** One that is no longer listed may still be cut off, and serve; ms. */
const missedFor = 24 * 3_600_000
/** So long after it was met a member may lack a link without being missed; ms. */
const meetingTime = 3_000

/** The other members that this one has heard of, and what became of them. */
export class MemberDirectory {
  readonly #members = new Map<string, Entry>()
  /** Lost without a word, and no longer listed. */
  readonly #lost = new Map<string, Entry>()

  get size(): number {
    return this.#members.size
  }

  has(id: string): boolean {
    return this.#members.has(id)
  }

  /** The member said this of itself. A newer run of it takes the place of an older one. */
  note(
    { id, incarnation }: Life,
    state: State,
    address: string | undefined,
    now: number,
  ): void {
    const known = this.#members.get(id)
    // One that only dialled us may be known by a better address already.
    const kept = known?.incarnation === incarnation ? known.address : undefined
    const met = { id, incarnation, address: address ?? kept, state, heardAt: now }
    this.#lost.delete(id)
    this.#replace(id, met.address)
    this.#members.set(id, {
      ...met,
      metAt: known?.incarnation === incarnation ? known.metAt : now,
      awaySince: undefined,
      replaced: false,
      reason: undefined,
    })
  }

  /** There is no talking to the member, one of us having refused the other. */
  refuse(
    { id, incarnation, state }: Greeting,
    address: string | undefined,
    reason: string,
    now: number,
  ): void {
    const known = this.#members.get(id)
    if (known === undefined && this.#members.size >= maxMembers) return
    this.#members.set(id, {
      id,
      incarnation,
      address: known?.address ?? address,
      state: 'refused',
      heardAt: now,
      metAt: known?.metAt ?? now,
      awaySince: known?.awaySince ?? now,
      // One that is joining serves nobody yet.
      replaced: known?.replaced ?? state === 'joining',
      reason,
    })
  }

  /** Does nothing when a newer run of the member has taken its place. */
  mark({ id, incarnation }: Life, state: State, now: number): void {
    const entry = this.#members.get(id)
    if (entry === undefined || entry.incarnation !== incarnation) return
    // Its links end after it has taken its leave; that makes it no less orderly.
    if (entry.state === 'left' || entry.state === 'refused') return
    if (entry.state !== 'gone') entry.heardAt = now
    entry.state = state
    if (state === 'left' || state === 'joining' || state === 'ready')
      entry.awaySince = undefined
    else entry.awaySince ??= now
  }

  count(state: State): number {
    let count = 0
    for (const entry of this.#members.values()) if (entry.state === state) count += 1
    return count
  }

  list(): Member[] {
    return [...this.#members.values()].map(
      ({ id, incarnation, address, state, reason }) => {
        const member = { id, incarnation, address, state, self: false }
        return reason === undefined ? member : { ...member, reason }
      },
    )
  }

  /** Those that may be at work and that nothing reaches, by what `reaches` says. */
  absent(reaches: (life: Life) => boolean, now: number): AbsentMember[] {
    const absent: AbsentMember[] = []
    for (const entry of [...this.#members.values(), ...this.#lost.values()]) {
      const { id, address, state, awaySince, replaced, metAt } = entry
      if (state === 'left' || replaced) continue
      if (awaySince === undefined && (reaches(entry) || now - metAt < meetingTime))
        continue
      absent.push({ id, address, away: Math.round(now - (awaySince ?? metAt)) })
    }
    return absent
  }

  /** Those that were met a moment ago and lack a link: it is about to stand. */
  meeting(reaches: (life: Life) => boolean, now: number): Life[] {
    return [...this.#members.values()].filter(
      entry =>
        entry.awaySince === undefined &&
        (entry.state === 'ready' || entry.state === 'joining') &&
        now - entry.metAt < meetingTime &&
        !reaches(entry),
    )
  }

  isRefused(id: string): boolean {
    return this.#members.get(id)?.state === 'refused'
  }

  /** It may serve, and is away. */
  isMissed(id: string): boolean {
    return this.#members.get(id)?.replaced === false
  }

  /** Whether the member that was last known by this address is listed here. */
  knowsAddress(address: string): boolean {
    return [...this.#members.values(), ...this.#lost.values()].some(
      entry => entry.address === address,
    )
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
    for (const [id, { heardAt }] of this.#lost)
      if (heardAt + missedFor < then) this.#lost.delete(id)
    const forgotten: string[] = []
    for (const [id, entry] of this.#members) {
      if (!isAway(entry.state) || entry.heardAt > then) continue
      this.#members.delete(id)
      const missed = entry.state !== 'left' && !entry.replaced
      if (missed && this.#lost.size < maxMembers) this.#lost.set(id, entry)
      forgotten.push(id)
    }
    return forgotten
  }

  /** Who is at an address now is there in place of any other: with a new name after a crash. */
  #replace(id: string, address: string | undefined): void {
    if (address === undefined) return
    for (const entry of [...this.#members.values(), ...this.#lost.values()])
      if (entry.id !== id && entry.address === address) entry.replaced = true
  }
}

function isAway(state: State): boolean {
  return state === 'gone' || state === 'left' || state === 'refused'
}

interface Entry {
  readonly id: string
  readonly incarnation: number
  readonly address: string | undefined
  state: State
  heardAt: number
  readonly metAt: number
  /** Another has its address now, or it serves nobody: it is not missed. */
  replaced: boolean
  /** Since when what is written here does not reach it. */
  awaySince: number | undefined
  /** Why it is refused. */
  reason: string | undefined
}
