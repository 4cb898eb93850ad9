import type { InboundLink } from '../link/inbound-link.ts'
import { type Life, lifeName } from './life.ts'

/** A link that another has replaced is cut after so long. */
const retirement = 1_000

/** The links that others have dialled: not greeted yet, standing, or replaced by a newer one. */
export class InboundLinks {
  readonly #greeting = new Set<InboundLink>()
  readonly #standing = new Map<string, InboundLink>()
  readonly #retired = new Map<InboundLink, number>()

  /** Links to members that have said who they are. */
  get standing(): ReadonlyMap<string, InboundLink> {
    return this.#standing
  }

  get(life: Life): InboundLink | undefined {
    return this.#standing.get(lifeName(life))
  }

  /** Somebody is there who has not said who. */
  add(link: InboundLink): void {
    this.#greeting.add(link)
  }

  /**
   * The link is that of this member from now on. The dialler gives up an earlier one when it is
   * welcomed, if it has not done so before. Cutting that now could tell it of the end before
   * the welcome does, and it would dial anew.
   */
  admit(link: InboundLink, life: Life, now: number): void {
    const name = lifeName(life)
    const earlier = this.#standing.get(name)
    this.#greeting.delete(link)
    this.#standing.set(name, link)
    if (earlier === undefined) return
    earlier.retire()
    this.#retired.set(earlier, now)
  }

  /** True when it was the link of its member. */
  ended(link: InboundLink): boolean {
    this.#greeting.delete(link)
    this.#retired.delete(link)
    const { peer } = link
    if (peer === undefined || this.get(peer) !== link) return false
    return this.#standing.delete(lifeName(peer))
  }

  /** Ends those that have had their time. `late`: those that are silent get it again. */
  check(now: number, greetingTime: number, late: boolean): void {
    for (const link of this.#greeting)
      if (!late && now - link.since > greetingTime)
        link.destroy(new Error('no greeting in time'))
    for (const [link, since] of this.#retired)
      if (now - since > retirement) link.destroy()
  }

  /** Ends all that do not stand. */
  clear(): void {
    for (const link of [...this.#greeting, ...this.#retired.keys()]) link.destroy()
  }
}
