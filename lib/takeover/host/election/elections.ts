import { BoundedMap } from '../../../bounded-map.ts'
import type { Clock, Timer } from '../../../clock.ts'
import {
  type Beat,
  claimedBy,
  type Heartbeats,
  type HeartbeatTimes,
  type HeldAddress,
  heldBy,
  type Vote,
} from './heartbeats.ts'
import { lineOf, turn } from './succession.ts'

/** Of which something is remembered. Seats, unlike addresses, are others after each start. */
const mostAddresses = 500

export interface ElectionParts {
  readonly self: string
  readonly times: HeartbeatTimes
  readonly clock: Clock
  readonly heartbeats: Heartbeats
  /** An address that this member has now. */
  holds(address: string): boolean
  /** Votes or claims have changed, and others wait to hear of it. */
  tell(): void
}

/** This member alone may take over the address, once all of these are fenced. */
export interface Elected {
  readonly claim: HeldAddress
  /** Whose it was, and silent ones that may have been elected before. */
  readonly toFence: readonly string[]
  /**
   * Nobody was elected for it since `failed` had it, or nothing came of that: who was would have the
   * votes of more than half, and one of them at least is for this member as well.
   */
  readonly isFirst: boolean
}

/**
 * Who of several that believe an address to be theirs may take it. The order of succession alone
 * does not say: members that hear each other late, or in one direction only, compute different ones.
 *
 * Each move of an address has a number, and in each member gives one vote, which it tells in its
 * beats. Whoever has more than half of them is alone, for any two halves have a member in common
 * (as in Lamport, The Part-Time Parliament, 1998). The next move has a higher number; that common
 * member tells in it for whom it was before, and that one, silent by now, has to be fenced as well.
 */
export class Elections {
  readonly #parts: ElectionParts
  readonly #startedAt: number
  readonly #candidacies = new Map<string, Candidacy>()
  /** By address; those that may yet matter, the newest last. */
  readonly #votes = new BoundedMap<string, readonly Vote[]>(mostAddresses)
  /** By address, of those that this member has: for whom it would part with it. */
  readonly #nominations = new Map<string, Vote>()
  /** By address: a number is used once, even where nothing came of it. */
  readonly #used = new BoundedMap<string, number>(mostAddresses)

  constructor(parts: ElectionParts) {
    this.#parts = parts
    this.#startedAt = parts.clock.monotonic()
  }

  /** Addresses that this member is about to take over. */
  get takes(): HeldAddress[] {
    return [...this.#candidacies.values()].map(({ claim }) => claim)
  }

  get votes(): Vote[] {
    return [...[...this.#votes.values()].flat(), ...this.#nominations.values()]
  }

  isTaking(address: string): boolean {
    return this.#candidacies.has(address)
  }

  /** Resolves with undefined when others are for somebody else, or say nothing. */
  stand(
    failed: string,
    { address, epoch: last }: HeldAddress,
  ): Promise<Elected | undefined> {
    if (this.#isNew || this.isTaking(address)) return Promise.resolve(undefined)
    return this.#candidate(failed, { address, epoch: this.#nextEpoch(address, last) })
  }

  /**
   * This member has the address, and is for another one: whoever hears of it may be, too. The
   * number of that move.
   */
  nominate({ address, epoch: last }: HeldAddress, member: string): number {
    const epoch = this.#nextEpoch(address, last)
    this.#used.set(address, epoch)
    this.#nominations.set(address, { address, epoch, member })
    this.#parts.tell()
    return epoch
  }

  /** It is so no more. */
  withdraw(address: string): void {
    if (this.#nominations.delete(address)) this.#parts.tell()
  }

  /** This member was nominated. True: it is elected, until `end`. */
  async accept(nominator: string, claim: HeldAddress): Promise<boolean> {
    const { address, epoch } = claim
    const votes = this.#votes.get(address) ?? []
    const isPast = votes.some(vote => vote.epoch >= epoch)
    if (this.#isNew || this.isTaking(address) || isPast) return false
    return (await this.#candidate(nominator, claim)) !== undefined
  }

  #candidate(failed: string, claim: HeldAddress): Promise<Elected | undefined> {
    const { address } = claim
    this.#used.set(address, claim.epoch)
    this.#add({ ...claim, member: this.#parts.self })
    return new Promise(resolve => {
      const timer = this.#parts.clock.after(turn, () => this.end(address))
      this.#candidacies.set(address, { claim, failed, resolve, timer, isElected: false })
      this.#parts.tell()
      this.review()
    })
  }

  /** The address is here, or will not come by this claim. */
  end(address: string): void {
    const candidacy = this.#candidacies.get(address)
    if (candidacy === undefined) return
    this.#candidacies.delete(address)
    candidacy.timer.cancel()
    if (!this.#parts.holds(address)) {
      this.#drop(address, ({ member }) => member === this.#parts.self)
    }
    candidacy.resolve(undefined)
    this.#parts.tell()
  }

  /** To be told after Heartbeats was. */
  heard(beat: Beat): void {
    const { self } = this.#parts
    for (const { address, epoch } of heldBy(beat)) {
      this.#drop(address, vote => vote.epoch < epoch)
      const isOver = (this.#nominations.get(address)?.epoch ?? Infinity) <= epoch
      if (isOver) this.#nominations.delete(address)
      const own = this.#candidacies.get(address)
      if (own?.isElected === false && own.claim.epoch <= epoch) this.end(address)
    }
    for (const [address, votes] of this.#votes) {
      const isClaim = ({ epoch, member }: Vote) =>
        member !== beat.member ||
        claimedBy(beat).some(claim => claim.address === address && claim.epoch >= epoch)
      // It gave up, and will not come back to this number.
      if (!votes.every(isClaim)) this.#drop(address, vote => !isClaim(vote))
    }
    let isChanged = false
    for (const claim of beat.takes) {
      const { address } = claim
      const own = this.#candidacies.get(address)
      const isBehind = lineOf(address, [self, beat.member])[0] !== self
      if (own?.isElected === false && isBehind) this.end(address)
      if (!this.#isFor(beat.member, claim)) continue
      this.#add({ ...claim, member: beat.member })
      isChanged = true
    }
    if (isChanged) this.#parts.tell()
    this.review()
  }

  /** Whoever is waited for may have fallen silent. */
  review(): void {
    const { heartbeats, clock } = this.#parts
    const now = clock.monotonic()
    for (const candidacy of this.#candidacies.values()) {
      const { claim, failed, isElected, resolve, timer } = candidacy
      if (isElected || !heartbeats.elects(failed, claim, now)) continue
      const rivals = this.#rivalsOf(claim, now)
      // One that lives says itself before long whether it goes on.
      const isOpen = (member: string) =>
        heartbeats.of(member, now)?.isLive === true &&
        !this.#consents(member, { ...claim, member: this.#parts.self })
      if (rivals.some(isOpen)) continue
      candidacy.isElected = true
      timer.cancel()
      const others = rivals.filter(member => member !== failed)
      resolve({
        claim,
        toFence: [failed, ...others.filter(o => !heartbeats.isFenced(o))],
        isFirst: others.length === 0,
      })
    }
  }

  close(): void {
    for (const address of this.#candidacies.keys()) this.end(address)
    this.#votes.clear()
    this.#nominations.clear()
  }

  /** It may have voted before, as the process that it was then. */
  get #isNew(): boolean {
    const { clock, times } = this.#parts
    return clock.monotonic() - this.#startedAt < 2 * times.timeout
  }

  #isFor(member: string, { address, epoch }: HeldAddress): boolean {
    const { heartbeats, clock, times, holds } = this.#parts
    if (this.#isNew || holds(address) || this.isTaking(address)) return false
    if ((this.#votes.get(address) ?? []).some(vote => vote.epoch >= epoch)) return false
    const isThere = (claim: HeldAddress) => claim.address === address
    const isPast = heartbeats
      .beats()
      .filter(beat => beat.member !== member)
      .some(beat => claimedBy(beat).some(claim => isThere(claim) && claim.epoch >= epoch))
    // Whoever asks has seen the end of the time-out a moment before this member does.
    const most = times.timeout - times.interval
    return !(
      isPast ||
      heartbeats
        .claims(clock.monotonic(), most)
        .some(
          other =>
            other.member !== member &&
            isThere(other.claim) &&
            !this.#consents(other.member, { address, epoch, member }),
        )
    )
  }

  /** Whoever has the address now has nominated another. */
  #consents(holder: string, { address, epoch, member }: Vote): boolean {
    const { heartbeats, clock } = this.#parts
    const votes = heartbeats.of(holder, clock.monotonic())?.beat.votes ?? []
    return votes.some(
      vote => vote.address === address && vote.epoch === epoch && vote.member === member,
    )
  }

  /** Others that may have been elected for the address before, as far as voters tell. */
  #rivalsOf({ address, epoch }: HeldAddress, now: number): string[] {
    const { self, heartbeats } = this.#parts
    const beats = heartbeats.beats()
    const told = beats.filter(beat => heartbeats.of(beat.member, now)?.isLive === true)
    const votes = [...this.votes, ...told.flatMap(beat => beat.votes)]
    const voted = votes.filter(vote => vote.address === address && vote.epoch < epoch)
    const claiming = beats.filter(beat =>
      claimedBy(beat).some(claim => claim.address === address),
    )
    const names = [...voted, ...claiming].map(({ member }) => member)
    return [...new Set(names)].filter(member => member !== self)
  }

  #nextEpoch(address: string, last: number): number {
    const told = this.#parts.heartbeats
      .beats()
      .flatMap(beat => [...claimedBy(beat), ...beat.votes])
    const known = [...told, ...this.votes].filter(claim => claim.address === address)
    const used = this.#used.get(address) ?? 0
    return 1 + Math.max(last, used, ...known.map(({ epoch }) => epoch))
  }

  #add(vote: Vote): void {
    this.#votes.set(vote.address, [...(this.#votes.get(vote.address) ?? []), vote])
  }

  #drop(address: string, isOver: (vote: Vote) => boolean): void {
    const left = this.#votes.get(address)?.filter(vote => !isOver(vote)) ?? []
    if (left.length > 0) this.#votes.set(address, left)
    else this.#votes.delete(address)
  }
}

interface Candidacy {
  readonly claim: HeldAddress
  readonly failed: string
  readonly resolve: (elected: Elected | undefined) => void
  readonly timer: Timer
  isElected: boolean
}
