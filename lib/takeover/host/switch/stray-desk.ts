import type { Clock } from '../../../clock.ts'
import { flag, type Segment } from '../../native/packets/segment.ts'
import { ownerOf } from '../board/connection-table.ts'
import type { Heartbeats } from '../election/heartbeats.ts'
import { type Flow, flowOf } from '../restore/flow.ts'
import type { DecidedConnection } from './decisions.ts'
import type { FlowIndex, ToldFlow } from './flow-index.ts'
import type { OrphanStray } from './grant-requests.ts'

/**
 * What became of a stray:
 *
 * - `here`: its connection is being restored here.
 * - `asked`: its member is dead, and who decides on it was asked for it.
 * - `waiting`: its member is silent, and may not be fenced yet. It is dropped, and comes again.
 * - `elsewhere`: its member lives, and was asked for it; or another one has been granted it.
 * - `lost`: its member is dead, and nobody can go on with it any more. The kernel has it.
 * - `unknown`: nobody has told of it. The kernel has it.
 */
export type StrayOutcome = 'here' | 'asked' | 'waiting' | 'elsewhere' | 'lost' | 'unknown'

export interface StrayDeskParts {
  readonly clock: Clock
  readonly heartbeats: Heartbeats
  readonly index: FlowIndex
  isHere(flow: Flow): boolean
  /** Where this member decides on it. */
  decided(flow: Flow): DecidedConnection | undefined
  /** It is for this member, which decides itself. */
  take(connection: DecidedConnection, segment: Segment): void
  ask(stray: OrphanStray): void
  /** Its member lives: it may give it. */
  move(stray: OrphanStray): void
  /** Gives it to the kernel. */
  pass(segment: Segment): void
}

/** Milliseconds: whoever is silent for longer will not be fenced any more. */
const mostSilence = 60_000

/** Says of each segment that none of this host's sockets is for what becomes of it. */
export class StrayDesk {
  readonly #parts: StrayDeskParts
  readonly #counts = new Map<StrayOutcome, number>(
    (['here', 'asked', 'waiting', 'elsewhere', 'lost', 'unknown'] as const).map(name => [
      name,
      0,
    ]),
  )

  constructor(parts: StrayDeskParts) {
    this.#parts = parts
  }

  /** Since start. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts)
  }

  hear(segment: Segment): void {
    const outcome = this.#judge(segment)
    this.#counts.set(outcome, (this.#counts.get(outcome) ?? 0) + 1)
    if (outcome === 'lost' || outcome === 'unknown') this.#parts.pass(segment)
  }

  #judge(segment: Segment): StrayOutcome {
    const { index, isHere, decided, take, ask, move } = this.#parts
    const flow = flowOf(segment.source, segment.destination)
    if (isHere(flow)) return 'here'
    // A client that ends it has nothing to be met for.
    if ((segment.flags & flag.rst) !== 0) return 'unknown'
    const own = decided(flow)
    if (own?.isGiven === false) {
      take(own, segment)
      return 'here'
    }
    const told = index.find(flow)
    if (told === undefined) return 'waiting'
    for (const each of told) {
      const of = this.#livingOwner(each)
      if (of === undefined) continue
      move({ told: each, of, decider: of, segment })
      return 'elsewhere'
    }
    if (own !== undefined) return 'elsewhere'
    if (told.length === 0) return 'unknown'
    let isWaiting = false
    for (const each of told) {
      const orphan = this.#orphan(each)
      if (orphan === 'waiting') isWaiting = true
      else if (orphan !== undefined) {
        ask({ ...orphan, told: each, segment })
        return 'asked'
      }
    }
    return isWaiting ? 'waiting' : 'lost'
  }

  #livingOwner({ owner }: ToldFlow): string | undefined {
    const { heartbeats, clock } = this.#parts
    const now = clock.monotonic()
    return heartbeats.live(now).find(member => ownerOf(member) === owner)
  }

  /** Whom to ask; `waiting`: nobody yet. Undefined: nobody any more. */
  #orphan({
    owner,
  }: ToldFlow): Pick<OrphanStray, 'of' | 'decider'> | 'waiting' | undefined {
    const { heartbeats, clock } = this.#parts
    const now = clock.monotonic()
    const beats = heartbeats.beats()
    const decisions = beats.flatMap(({ member, decides = [] }) =>
      decides
        .filter(({ address }) => ownerOf(address) === owner)
        .map(({ address, isOpen }) => ({ of: address, decider: member, isOpen })),
    )
    const open = decisions.find(({ isOpen }) => isOpen)
    if (open !== undefined) {
      const { of, decider } = open
      if (heartbeats.of(decider, now)?.isLive) return { of, decider }
      return this.#mayCome(decider, now) ? 'waiting' : undefined
    }
    if (decisions.length > 0) return undefined
    const own = beats.find(({ member }) => ownerOf(member) === owner)
    return own && this.#mayCome(own.member, now) ? 'waiting' : undefined
  }

  /** It has its seat yet: it may be heard again, or fenced. */
  #mayCome(member: string, now: number): boolean {
    const { heartbeats } = this.#parts
    const hasSeat = !heartbeats.hasNothing(member) && !heartbeats.isFenced(member)
    return hasSeat && heartbeats.silence(member, now) < mostSilence
  }
}
