import type { BackendState } from '../../backend/backend.ts'
import { isIdempotent } from '../../backend/request.ts'
import type { Clock } from '../../clock.ts'
import { PeakEwma } from './peak-ewma.ts'
import type { Member, Policy } from './policy.ts'
import type { Choice, Choosing, Selection } from './selection.ts'

/** A backend with what the operator says of it beside the others. */
export interface Weighted<Backend> {
  readonly backend: Backend
  readonly origin: string
  readonly weight: number
  /** Those of a higher number are asked when none of a lower one is ready. */
  readonly priority: number
}

export interface TiersOptions {
  /** Of each tier, for a policy remembers whose turn it is. */
  readonly policy: () => Policy
  /** For requests that are at another backend already, or were: it remembers nothing. */
  readonly again: Policy
  /** Milliseconds in which a backend that has just become ready comes to its full weight. */
  readonly slowStart: number
  /**
   * Percent of a tier: when fewer are ready they would break down under what is meant for all.
   * Then those are used too that can be reached, unless there is another tier.
   */
  readonly panic: number
  /** Whether the policy wants to know how long backends take. */
  readonly timed: boolean
  readonly clock: Clock
}

interface Tier<Backend extends BackendState> {
  readonly policy: Policy
  readonly members: readonly OwnMember<Backend>[]
}

interface OwnMember<Backend extends BackendState> extends Member<Backend> {
  readonly fullWeight: number
  readonly priority: number
}

/** Of a backend that is about to start slowly: it needs some requests to come to speed. */
const leastPart = 0.1

/** Backends of several priorities, each with a policy of its own. */
export class Tiers<Backend extends BackendState> implements Selection<Backend> {
  readonly #options: TiersOptions
  #tiers: readonly Tier<Backend>[] = []
  #members: readonly OwnMember<Backend>[] = []
  #backends: readonly Backend[] = []

  constructor(backends: readonly Weighted<Backend>[], options: TiersOptions) {
    this.#options = options
    this.setBackends(backends)
  }

  /** From now on these; what was learnt of those that stay is kept. */
  setBackends(backends: readonly Weighted<Backend>[]): void {
    const { policy, clock } = this.#options
    const before = new Map(this.#members.map(member => [member.backend, member]))
    this.#members = backends.map(({ backend, origin, weight, priority }) => {
      const { credit = 0, latency = new PeakEwma(clock) } = before.get(backend) ?? {}
      return { backend, origin, weight, fullWeight: weight, priority, credit, latency }
    })
    this.#backends = backends.map(({ backend }) => backend)
    const priorities = new Set(this.#members.map(({ priority }) => priority))
    this.#tiers = [...priorities]
      .sort((a, b) => a - b)
      .map(wanted => ({
        policy: policy(),
        members: this.#members.filter(({ priority }) => priority === wanted),
      }))
  }

  get backends(): readonly Backend[] {
    return this.#backends
  }

  get members(): readonly Member<Backend>[] {
    return this.#members
  }

  get observe(): ((origin: string | undefined, ms: number) => void) | undefined {
    return this.#options.timed ? this.#observe : undefined
  }

  candidates(request: Choosing): Choice<Backend> {
    return new TiersChoice(this.#tiers, request, this)
  }

  memberOf(backend: BackendState): OwnMember<Backend> | undefined {
    return this.#members.find(member => member.backend === backend)
  }

  /**
   * Which of them are ready and may have new clients, each weighed as of now. The same array
   * when it is all of them, as it mostly is. `once`: for a request that can't be sent again.
   */
  usable<M extends OwnMember<Backend>>(
    members: readonly M[],
    once: boolean,
  ): readonly M[] {
    const now = this.#options.clock.monotonic()
    let usable = 0
    for (const member of members) if (this.#weigh(member, now, once)) usable += 1
    if (usable === members.length) return members
    const meant = meantOf(members)
    if (usable * 100 < this.#options.panic * meant.length && this.#isLast(members)) {
      for (const member of meant) this.#weigh(member, now, once, true)
    }
    return members.filter(({ weight }) => weight > 0)
  }

  /**
   * Those for a request that can't be sent again: one that is doubtful would perhaps lose it, and
   * other requests say soon enough what is wrong there.
   */
  trusted<M extends OwnMember<Backend>>(members: readonly M[]): readonly M[] {
    const trusted = members.filter(({ backend }) => !backend.doubtful)
    return trusted.length > 0 ? trusted : members
  }

  get again(): Policy {
    return this.#options.again
  }

  /** No tier behind it has any that is ready. */
  #isLast(members: readonly OwnMember<Backend>[]): boolean {
    const priority = members[0]?.priority ?? 0
    return !this.#members.some(
      other => other.priority > priority && other.backend.ready && isForNewClients(other),
    )
  }

  readonly #observe = (origin: string | undefined, ms: number): void => {
    this.#members.find(member => member.origin === origin)?.latency.observe(ms)
  }

  #weigh(member: OwnMember<Backend>, now: number, once: boolean, panic = false): boolean {
    const { backend, fullWeight } = member
    const { slowStart } = this.#options
    const wanted = panic
      ? backend.reachable
      : backend.ready && !(once && backend.unproven)
    member.weight = wanted ? fullWeight * backend.weight(now) : 0
    if (slowStart > 0) {
      const part = (now - backend.readySince) / slowStart
      if (part < 1) member.weight *= Math.max(leastPart, part)
    }
    return member.weight > 0
  }
}

/** The operator wants it to have some. One that is drained is no sign of an outage. */
function isForNewClients({ fullWeight, backend }: OwnMember<BackendState>): boolean {
  return fullWeight > 0 && !backend.draining
}

/** One that waits for its first check is none of them while others have had theirs. */
function meantOf<M extends OwnMember<BackendState>>(members: readonly M[]): readonly M[] {
  const meant = members.filter(isForNewClients)
  const checked = meant.filter(({ backend }) => !backend.unchecked)
  return checked.length > 0 ? checked : meant
}

class TiersChoice<Backend extends BackendState> implements Choice<Backend> {
  readonly #tiers: readonly Tier<Backend>[]
  readonly #request: Choosing
  readonly #of: Tiers<Backend>
  readonly #once: boolean
  #first: OwnMember<Backend> | undefined
  /** From the second on. */
  #given: OwnMember<Backend>[] | undefined
  /** Has one that is well and has no room: those behind it are for when none is. */
  #last: Tier<Backend> | undefined

  constructor(tiers: readonly Tier<Backend>[], request: Choosing, of: Tiers<Backend>) {
    this.#tiers = tiers
    this.#request = request
    this.#of = of
    this.#once = !isIdempotent(request)
  }

  next(): Backend | undefined {
    const member = this.#preferred() ?? this.#pick() ?? this.#lastResort()
    if (member === undefined) return undefined
    if (this.#first === undefined) this.#first = member
    else {
      this.#given ??= [this.#first]
      this.#given.push(member)
    }
    return member.backend
  }

  full(backend: Backend): void {
    if (!backend.ready) return
    this.#last ??= this.#tiers.find(({ members }) =>
      members.some(member => member.backend === backend),
    )
  }

  #preferred(): OwnMember<Backend> | undefined {
    if (this.#first !== undefined || this.#request.beside !== undefined) return undefined
    const first = this.#request.preference?.first
    const member = first && this.#of.memberOf(first)
    if (first === undefined || member === undefined) return undefined
    if (first.ready) return this.#once && first.unproven ? undefined : member
    // Where others are used that are not well, it is as good as they are.
    const tier = this.#tiers.find(({ members }) => members.includes(member))
    return this.#of.usable(tier?.members ?? [], this.#once).find(one => one === member)
  }

  #pick(): OwnMember<Backend> | undefined {
    const { preference, beside } = this.#request
    const again = this.#first !== undefined || beside !== undefined
    for (const tier of this.#tiers) {
      const { members, policy } = tier
      const left = this.#left(this.#of.usable(members, this.#once))
      const usable = this.#once && left.length > 1 ? this.#of.trusted(left) : left
      if (usable.length > 1) {
        // Whose turn it is, is for first tries: else two that take turns would each have one kind.
        const usual = again ? this.#of.again : policy
        return (preference?.policy ?? usual).pick(usable, this.#request)
      }
      if (usable.length === 1) return usable[0]
      if (tier === this.#last) return undefined
    }
    return undefined
  }

  /** When all are down, trying one beats giving up. One that is drained is not down. */
  #lastResort(): OwnMember<Backend> | undefined {
    if (this.#request.beside !== undefined || this.#last !== undefined) return undefined
    let last: OwnMember<Backend> | undefined
    for (const { members } of this.#tiers) {
      for (const member of this.#left(members)) {
        const { backend } = member
        if (!isForNewClients(member)) continue
        if (backend === this.#request.preference?.first) return member
        last ??= member
      }
    }
    return last
  }

  #left(members: readonly OwnMember<Backend>[]): readonly OwnMember<Backend>[] {
    const { beside } = this.#request
    if (this.#first === undefined && beside === undefined) return members
    return members.filter(
      member =>
        member !== this.#first &&
        member.backend !== beside &&
        this.#given?.includes(member) !== true,
    )
  }
}
