/** Heartbeats missed before a member is suspected, and again before it counts as gone. */
const missedConnected = 5
const missedDisconnected = 2
const graceConnected = 4
const graceDisconnected = 2
/** A member that is gone this long, ms, is no longer listed, and must introduce itself again. */
const forgottenAfter = 600_000

export type PresenceState = 'alive' | 'suspect' | 'gone'

export type MembershipAnswer =
  /** Ask the member itself, over its stream. */
  | { readonly kind: 'probe'; readonly id: string }
  /** Ask the others whether they hear it. */
  | { readonly kind: 'suspect'; readonly id: string }
  | { readonly kind: 'gone'; readonly id: string }
  | { readonly kind: 'forget'; readonly id: string }

interface Presence {
  state: PresenceState
  heardAt: number
  suspectedAt: number
  vouchedAt: number
  askedAt: number
  connected: boolean
}

/**
 * Who is there. Silence leads to a question to the member, then to a suspicion told to the
 * others, who vouch for it if they hear it, then to `gone`. Anything authentic from a member
 * brings it back. A member whose own event loop is late accuses nobody: what it did not hear
 * may lie unread in its own socket (Lifeguard, Dadgar et al. 2018).
 */
export class Membership {
  readonly #heartbeat: number
  readonly #suspects: boolean
  readonly #members = new Map<string, Presence>()
  #checkAt: number

  /** `suspects`: false where only a link says who is there, so that nobody else knows better. */
  constructor(heartbeat: number, now: number, suspects = true) {
    this.#heartbeat = heartbeat
    this.#suspects = suspects
    this.#checkAt = now + heartbeat / 2
  }

  get deadline(): number {
    return this.#checkAt
  }

  state(id: string): PresenceState {
    return this.#members.get(id)?.state ?? 'gone'
  }

  heardAt(id: string): number {
    return this.#members.get(id)?.heardAt ?? -Infinity
  }

  add(id: string, now: number): void {
    this.#members.set(id, {
      state: 'alive',
      heardAt: now,
      suspectedAt: 0,
      vouchedAt: 0,
      askedAt: 0,
      connected: true,
    })
  }

  remove(id: string): void {
    this.#members.delete(id)
  }

  /** True when this brought a member back. */
  heard(id: string, now: number): boolean {
    const member = this.#members.get(id)
    if (member === undefined) return false
    member.heardAt = now
    if (member.state === 'alive') return false
    member.state = 'alive'
    return true
  }

  /** True when it was not known to be. */
  gone(id: string): boolean {
    const member = this.#members.get(id)
    if (member === undefined || member.state === 'gone') return false
    member.state = 'gone'
    return true
  }

  connected(id: string, connected: boolean): void {
    const member = this.#members.get(id)
    if (member !== undefined) member.connected = connected
  }

  /** Another member heard it `ago` milliseconds ago. */
  vouched(id: string, ago: number, now: number): void {
    const member = this.#members.get(id)
    if (member !== undefined) member.vouchedAt = Math.max(member.vouchedAt, now - ago)
  }

  /** Our own loop was held up: everybody gets the time again. */
  excuse(now: number): void {
    for (const member of this.#members.values()) {
      if (member.state === 'gone') continue
      member.heardAt = now
      member.state = 'alive'
    }
  }

  /** `healthy`: false when the silence may be our own fault. */
  check(now: number, healthy: boolean): MembershipAnswer[] {
    if (now < this.#checkAt) return []
    this.#checkAt = now + this.#heartbeat / 2
    const answers: MembershipAnswer[] = []
    for (const [id, member] of this.#members) {
      const answer = this.#judge(member, now, healthy)
      if (answer !== undefined) answers.push({ kind: answer, id })
    }
    return answers
  }

  #judge(
    member: Presence,
    now: number,
    healthy: boolean,
  ): MembershipAnswer['kind'] | undefined {
    const silence = (now - member.heardAt) / this.#heartbeat
    if (member.state === 'gone')
      return now - member.heardAt > forgottenAfter ? 'forget' : undefined
    if (member.state === 'alive') {
      if (silence > (member.connected ? missedConnected : missedDisconnected)) {
        if (!this.#suspects) {
          member.state = 'gone'
          return 'gone'
        }
        if (!healthy) return 'probe'
        member.state = 'suspect'
        member.suspectedAt = now
        member.askedAt = now
        return 'suspect'
      }
      return silence > 1.5 ? 'probe' : undefined
    }
    const since = Math.max(member.suspectedAt, member.vouchedAt)
    const grace = member.connected ? graceConnected : graceDisconnected
    if (now - since <= grace * this.#heartbeat) {
      if (now - member.askedAt < this.#heartbeat) return undefined
      member.askedAt = now
      return 'suspect'
    }
    member.state = 'gone'
    return 'gone'
  }
}
