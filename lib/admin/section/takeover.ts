import type { CheckpointCounts } from '../../takeover/checkpoint/checkpoints.ts'
import type { GuardianState } from '../../takeover/guardian/guardian-state.ts'
import type { TakeoverCounters } from '../../takeover/takeover-counters.ts'
import { counter, gauge, samplesOf } from './family.ts'
import type { Section } from './section.ts'
import { sum } from './sum.ts'

export interface HostTakeoverState {
  /** `off`, `on`, or why it is not. */
  readonly state: 'off' | 'on' | (string & {})
  /** All members have one address, behind a switch. */
  readonly shared: boolean
  readonly addresses: readonly string[]
  /** Answers since start that waited for other members, by what came of it; see CommitOutcome. */
  readonly commits: Readonly<Record<string, number>>
  /** Segments since start that were of no socket here, by what became of them; see StrayOutcome. */
  readonly strays: Readonly<Record<string, number>>
  /** Connections of dead members that were asked for since start, by what came of it. */
  readonly grants: Readonly<Record<string, number>>
  /** Connections that outlive a kill of this process; undefined without a watchdog. */
  readonly watched?: number | undefined
}

export interface TakeoverFigures {
  /** `off`, `on`, or why it is not. */
  readonly guardian: GuardianState
  /** Whether others can take over from this host, and virtual addresses that are here. */
  readonly host: HostTakeoverState
  /** Connections that others could go on with as they are now; those in a long answer. */
  readonly protected: CheckpointCounts
  /** Connections whose process was gone, by what became of them; see Takeover. Since start. */
  readonly connections: Readonly<Record<string, number>>
}

export function takeoverSection(
  guardian: GuardianState,
  counters: TakeoverCounters,
  now: {
    readonly protected: () => CheckpointCounts
    readonly host: () => HostTakeoverState
  },
): Section<TakeoverFigures> {
  return {
    name: 'takeover',
    read: () => ({
      guardian,
      host: now.host(),
      protected: now.protected(),
      connections: counters.read(),
    }),
    merge: (all, own) => ({
      guardian: own.guardian,
      host: own.host,
      protected: sum(all.map(figures => figures.protected)),
      connections: sum(all.map(({ connections }) => connections)),
    }),
    families: ({ connections, host, protected: now }) => [
      gauge(
        'handfast_protected_connections',
        'Client connections that another process could go on with as they are now',
        [{ labels: {}, value: now.connections }],
      ),
      counter(
        'handfast_takeovers_total',
        'Connections since start whose process was gone, by what became of them',
        samplesOf('outcome', connections),
      ),
      counter(
        'handfast_takeover_commits_total',
        'Waits since start for other members to know what a client is told, by what came of them',
        samplesOf('outcome', host.commits),
      ),
      counter(
        'handfast_takeover_strays_total',
        'Segments since start that a switch sent to another host than the connection is of, by what became of them',
        samplesOf('outcome', host.strays),
      ),
      counter(
        'handfast_takeover_grants_total',
        'Connections of dead hosts since start that this one has asked for, by what came of it',
        samplesOf('outcome', host.grants),
      ),
    ],
  }
}
