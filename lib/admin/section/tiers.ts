import { counter, gauge } from './family.ts'
import type { Section } from './section.ts'
import { sum } from './sum.ts'

/** Of each tier beside the members, by its name. */
export interface TierFigures {
  readonly [tier: string]: { readonly [figure: string]: number }
}

export function tiersSection(read: () => TierFigures): Section<TierFigures> {
  return {
    name: 'tiers',
    read,
    // One process of a host has them, and the others none.
    merge: sum,
    families: tiers => {
      const [now, since] = [true, false].map(isNow =>
        Object.entries(tiers).flatMap(([tier, figures]) =>
          Object.entries(figures)
            .filter(([figure]) => ofNow.has(figure) === isNow)
            .map(([figure, value]) => ({ labels: { tier, figure }, value })),
        ),
      )
      const help = 'docs/metrics.md tells each figure'
      return [
        gauge('handfast_tier', `How it stands with a tier: ${help}`, now ?? []),
        counter(
          'handfast_tier_total',
          `What a tier did since start: ${help}`,
          since ?? [],
        ),
      ]
    },
  }
}

/** Figures that tell how it is now; all others count since start. */
const ofNow: ReadonlySet<string> = new Set([
  'open',
  'behind',
  'bytes',
  'current',
  'maxBytes',
  'records',
  'up',
  'waiting',
])
