import type { Clock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import type { MemberCommit } from './board/member-commit.ts'
import type { Claims } from './claims.ts'
import type { Elected, Elections } from './election/elections.ts'
import type { Fencer } from './election/fencer.ts'
import type { Heartbeats, HeldAddress } from './election/heartbeats.ts'
import type { Succession } from './election/succession.ts'
import type { Estate } from './estate.ts'
import type { ResetCause } from './restore/connection-takeover.ts'

export interface InheritorParts {
  readonly self: string
  readonly clock: Clock
  readonly log: Log
  readonly fencer: Fencer
  readonly heartbeats: Heartbeats
  readonly elections: Elections
  readonly claims: Claims
  readonly commit: MemberCommit
  readonly estate: Estate
  /** All that it had is somebody else's. */
  forget(member: string): void
  onReset(cause: ResetCause): void
  isClosed(): boolean
}

/** Takes over what members that fell silent held, when it is elected and they are fenced. */
export class Inheritor {
  readonly #parts: InheritorParts
  /** Failures that can't be helped. */
  readonly #refused = new Set<string>()
  /** Those that may pass; said once. */
  readonly #said = new Set<string>()

  constructor(parts: InheritorParts) {
    this.#parts = parts
  }

  /** A member is there, and has the address. */
  seen(member: string, { address }: HeldAddress): void {
    for (const names of [this.#refused, this.#said]) names.delete(nameOf(member, address))
  }

  /** Never rejects. */
  async succeed({ failed, claim, hasQuorum }: Succession): Promise<void> {
    const { address } = claim
    const { log, claims, elections, commit, isClosed } = this.#parts
    const name = nameOf(failed, address)
    const isOurs = claims.of(address) !== undefined || elections.isTaking(address)
    if (isOurs || this.#refused.has(name)) return
    if (!hasQuorum) {
      if (this.#said.has(name)) return
      this.#said.add(name)
      commit.distrust()
      log.error(
        { member: failed, address },
        'a member is silent, and most others too: this one may be cut off itself, and takes nothing over',
      )
      return
    }
    const elected = await elections.stand(failed, claim)
    if (elected === undefined) return
    try {
      await this.#inherit(failed, claim, elected)
    } catch (error) {
      if (isClosed()) return
      log.error({ address, reason: String(error) }, 'an address could not be taken over')
      this.#refused.add(name)
    } finally {
      elections.end(address)
    }
  }

  /** Throws when the claim can't be had. */
  async #inherit(
    failed: string,
    held: HeldAddress,
    { claim, toFence, isFirst }: Elected,
  ): Promise<void> {
    const { address } = claim
    const { log, clock, commit, estate, heartbeats } = this.#parts
    const { forget, onReset, isClosed } = this.#parts
    const begun = clock.monotonic()
    log.warn({ member: failed, address }, 'a member is silent and is being fenced')
    const isFenced = await this.#fence(toFence)
    if (isClosed()) return
    // In a later move than the next one somebody may have gone on from the same words.
    const isNext = claim.epoch === held.epoch + 1
    const legacy = { failed, claim, toFence, isNext, isFirst }
    const bequests = estate.bequests(legacy)
    if (!isFenced) {
      commit.distrust()
      this.#refused.add(nameOf(failed, address))
      for (const _ of bequests) onReset('unfenced')
      const text = 'it could not be fenced, and keeps its address'
      log.error({ member: failed, address }, text)
      return
    }
    for (const member of toFence) commit.fenced(member)
    const fencing = Math.round(clock.monotonic() - begun)
    await estate.inherit(legacy, bequests, fencing)
    for (const member of toFence) if (heartbeats.hasNothing(member)) forget(member)
  }

  async #fence(members: readonly string[]): Promise<boolean> {
    const { fencer, heartbeats } = this.#parts
    const done = await Promise.all(
      members.map(async member => {
        // Not the one that moves: that may be of a host that died long before this one.
        const own = heartbeats.addressOf(member)
        if (own === undefined || !(await fencer.fence(member, own))) return false
        heartbeats.fenced(member)
        return true
      }),
    )
    return done.every(isFenced => isFenced)
  }
}

function nameOf(member: string, address: string): string {
  return `${member} ${address}`
}
