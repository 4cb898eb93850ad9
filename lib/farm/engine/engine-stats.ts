import type { Placement } from '../placement/placement.ts'
import type { Synchronizer } from '../sync/synchronizer.ts'
import type { TransportStats } from '../transport.ts'
import type { EngineContext } from './engine-context.ts'

/** The figures of an engine under stable names. */
export function engineStats(
  { options, roster, sender, counters }: EngineContext,
  more: {
    lag: number
    waiting: number
    synchronizer: Synchronizer
    placement: Placement
  },
): TransportStats {
  const common = {
    recordsSent: sender.records,
    recordsApplied: counters.recordsApplied,
    recordsIgnored: counters.recordsIgnored,
    acksSent: counters.acksSent,
    acksReceived: counters.acksReceived,
    duplicates: counters.duplicates,
    malformed: counters.malformed,
    refusedFuture: counters.refusedFuture,
    applyErrors: counters.applyErrors,
    writesNotDurable: counters.writesNotDurable,
    writesWaiting: more.waiting,
    membersAwaited: roster.serving().length,
    lastSequence: sender.last,
    ringBytes: sender.ring.bytes,
    ackers: sender.acks.size,
    loopLag: more.lag,
    resyncs: counters.resyncs,
    tablesFetched: more.synchronizer.completed,
    recordsFetched: more.synchronizer.received,
    ...placementStats(more.placement),
  }
  return options.datagrams
    ? { ...counters, ...datagramStats({ roster, sender }), ...common }
    : common
}

function placementStats(placement: Placement): TransportStats {
  return {
    partitioned: placement.ownership.layout === 'partitioned' ? 1 : 0,
    tiered: placement.ownership.layout === 'tiered' ? 1 : 0,
    recordsOwned: placement.owned,
    copiesUnderWay: placement.underWay,
    ...placement.counts,
  }
}

/** The four brakes of flow control among them. */
function datagramStats({
  roster,
  sender,
}: Pick<EngineContext, 'roster' | 'sender'>): TransportStats {
  const { ownLoop, acks, blocked, repairs } = sender
  let paths = { multicast: 0, unicast: 0, stream: 0 }
  for (const { path } of roster.all()) paths = { ...paths, [path]: paths[path] + 1 }
  return {
    recordsQueued: sender.queued,
    recordsCoalesced: sender.coalesced,
    repairsHeld: repairs.held,
    ownWindow: ownLoop.window,
    ownOutstanding: ownLoop.outstanding,
    ownLost: ownLoop.lost,
    othersBetweenOwn: ownLoop.mean,
    sendRate: sender.rate,
    ackersSilent: acks.silent,
    blockedByOwnLoop: blocked.ownLoop,
    blockedByAcks: blocked.acks,
    blockedByRate: blocked.bucket,
    pathsMulticast: paths.multicast,
    pathsUnicast: paths.unicast,
    pathsStream: paths.stream,
  }
}
