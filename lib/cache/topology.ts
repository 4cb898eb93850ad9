import type { Asks, Layout, Topology } from '../farm/placement/topology.ts'
import { Rendezvous } from './rendezvous.ts'

export const topologies = ['auto', 'replicated', 'partitioned', 'tiered'] as const
export type TopologyName = (typeof topologies)[number]

/** With `auto`: from so many members on a record lies with its owners ... */
const partitionedFrom = 6
/**
 * ... until there are so few. A farm that stays between the two stays as it is, so one member
 * that comes and goes does not make the others move everything each time.
 */
const replicatedAt = 4

export interface TopologyOptions {
  readonly name: TopologyName
  readonly copies: number
  /** Default: each repository has all. */
  readonly repositoryCopies?: number | undefined
  readonly asks: Asks
  /** See Rendezvous. */
  readonly seed: number
}

/** Who holds a key (rows A7, A8; Fig 2A, 2B, 3A). */
export function topologyOf({
  name,
  copies,
  repositoryCopies = Infinity,
  asks,
  seed,
}: TopologyOptions): Topology {
  return {
    copies,
    repositoryCopies,
    asks,
    layout: (members, before, repositories = false) =>
      name === 'auto' && repositories ? 'tiered' : layoutOf(name, members, before),
    among: ids => new Rendezvous(seed, ids),
  }
}

/**
 * Members need not agree: each decides for what it writes by those that it knows. A miss is asked
 * of the members that would own the key, and they hold it in the other layout, too.
 */
function layoutOf(name: TopologyName, members: number, before: Layout): Layout {
  if (name !== 'auto') return name
  if (members >= partitionedFrom) return 'partitioned'
  return members <= replicatedAt ? 'replicated' : before
}
