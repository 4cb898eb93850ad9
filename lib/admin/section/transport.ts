import type { TransportStats } from '../../farm/transport.ts'
import { counter, gauge } from './family.ts'
import type { Section } from './section.ts'

export function transportSection(read: () => TransportStats): Section<TransportStats> {
  return {
    name: 'transport',
    read,
    // Of the one process with the links to others, and all of them know it.
    merge: (_all, own) => own,
    families: stats => {
      const [now, since] = [true, false].map(isNow =>
        Object.entries(stats)
          .filter(([figure]) => ofNow.has(figure) === isNow)
          .map(([figure, value]) => ({ labels: { figure }, value })),
      )
      const help = 'docs/metrics.md tells each figure'
      return [
        gauge(
          'handfast_transport',
          `How it stands with the other members: ${help}`,
          now ?? [],
        ),
        counter(
          'handfast_transport_total',
          `What was exchanged with the other members since start: ${help}`,
          since ?? [],
        ),
      ]
    },
  }
}

/** Figures that tell how it is now; all others count since start. */
const ofNow: ReadonlySet<string> = new Set([
  'processes',
  'isHub',
  'shelf',
  'undone',
  'linksOut',
  'linksIn',
  'membersReady',
  'membersJoining',
  'membersSuspect',
  'membersGone',
  'strangers',
  'ackers',
  'ackersSilent',
  'writesWaiting',
  'membersAwaited',
  'ringBytes',
  'partitioned',
  'tiered',
  'recordsOwned',
  'copiesUnderWay',
  'loopLag',
  'recordsQueued',
  'repairsHeld',
  'ownWindow',
  'ownOutstanding',
  'othersBetweenOwn',
  'sendRate',
  'pathsMulticast',
  'pathsUnicast',
  'pathsStream',
])
