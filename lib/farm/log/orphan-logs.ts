import type { Clock } from '../../clock.ts'
import type { VectorEntry } from '../../wire/frame-sync.ts'
import type { InboundLink } from '../link/inbound-link.ts'
import type { OutboundLink } from '../link/outbound-link.ts'
import { type AppliedVector, type Origin, originName } from './applied-vector.ts'

/** Members are told of so many logs at most. */
const mostTold = 1_024

export interface OrphanParts {
  readonly self: Origin
  readonly clock: Clock
  /** A member whose link is cut for so long does not come back at once. */
  readonly deadAfter: number
  outbound(): ReadonlyMap<string, OutboundLink>
  inbound(): ReadonlyMap<string, InboundLink>
}

/**
 * The logs of members that are away. Each member sends only what it wrote itself, so when one
 * is lost after its last entries have reached some of the others, nothing brings them to the
 * rest. Whoever loses a member tells the others up to where it holds its log, and whoever
 * meets a member tells it of all that are away; who holds less takes a snapshot.
 */
export class OrphanLogs {
  readonly #vector: AppliedVector
  readonly #parts: OrphanParts
  /** The most that was told of a log, and by whom. */
  readonly #told = new Map<string, Told>()

  constructor(vector: AppliedVector, parts: OrphanParts) {
    this.#vector = vector
    this.#parts = parts
  }

  /** Who holds more of the log than we do. */
  teller(origin: Origin): string | undefined {
    return this.#told.get(originName(origin))?.teller
  }

  /** Nothing comes from this member any more. */
  lost({ id, incarnation }: Origin): void {
    const origin = { id, incarnation }
    if (this.#isLinked(origin)) return
    const entry = { member: id, incarnation, sequence: this.#vector.whole(origin) }
    for (const link of this.#parts.outbound().values())
      if (link.peer?.id !== id) link.tellHeld([entry])
    const told = this.#told.get(originName(origin))
    if (told !== undefined) told.since = this.#parts.clock.monotonic()
  }

  /** We lack something that a member we have a link with holds, and that no log will bring. */
  get lacking(): boolean {
    for (const { origin, sequence, teller } of this.#told.values()) {
      if (this.#isLinked(origin) || !this.#parts.outbound().has(teller)) continue
      if (this.#vector.whole(origin) < sequence) return true
    }
    return false
  }

  /** Gives up waiting for members that have been away for too long. */
  tick(): void {
    const { clock, deadAfter } = this.#parts
    const then = clock.monotonic() - deadAfter
    for (const { origin, sequence, since } of this.#told.values())
      if (since < then && !this.#isLinked(origin)) this.#vector.expect(origin, sequence)
  }

  /** A link with this member has come up. */
  met(link: OutboundLink): void {
    const { self } = this.#parts
    const away = this.#vector
      .entries()
      .filter(({ member, incarnation }) => {
        const origin = { id: member, incarnation }
        const own = member === self.id && incarnation === self.incarnation
        return !own && !this.#isLinked(origin) && member !== link.peer?.id
      })
      .slice(-mostTold)
    link.tellHeld(away)
  }

  told(teller: string, entries: readonly VectorEntry[]): void {
    for (const { member, incarnation, sequence } of entries.slice(0, mostTold)) {
      const origin = { id: member, incarnation }
      const name = originName(origin)
      const known = this.#told.get(name)?.sequence ?? this.#vector.whole(origin)
      if (member === this.#parts.self.id || sequence <= known) continue
      this.#told.delete(name)
      const since = this.#parts.clock.monotonic()
      this.#told.set(name, { origin, sequence, teller, since })
      const oldest = this.#told.keys().next().value
      if (this.#told.size > mostTold && oldest !== undefined) this.#told.delete(oldest)
    }
  }

  /** While its own link stands, the member brings the rest itself. */
  #isLinked(origin: Origin): boolean {
    return this.#parts.inbound().has(originName(origin))
  }
}

interface Told {
  readonly origin: Origin
  readonly sequence: number
  readonly teller: string
  /** When it was told, or the origin was lost: it may come back at once. */
  since: number
}
