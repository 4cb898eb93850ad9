import type { TransportStats } from '../transport.ts'
import type { EngineContext } from './engine-context.ts'
import type { Synchronizer } from './synchronizer.ts'

/** All figures of an engine under stable names, the four brakes of flow control among them. */
export function engineStats(
  { roster, sender, counters }: EngineContext,
  more: { lag: number; waiting: number; synchronizer: Synchronizer },
): TransportStats {
  const { ownLoop, acks, blocked, repairs, ring } = sender
  let paths = { multicast: 0, unicast: 0, stream: 0 }
  for (const { path } of roster.all()) paths = { ...paths, [path]: paths[path] + 1 }
  return {
    ...counters,
    recordsSent: sender.records,
    recordsQueued: sender.queued,
    recordsCoalesced: sender.coalesced,
    writesWaiting: more.waiting,
    lastSequence: sender.last,
    ringBytes: ring.bytes,
    repairsHeld: repairs.held,
    ownWindow: ownLoop.window,
    ownOutstanding: ownLoop.outstanding,
    ownLost: ownLoop.lost,
    othersBetweenOwn: ownLoop.mean,
    sendRate: sender.rate,
    ackers: acks.size,
    ackersSilent: acks.silent,
    blockedByOwnLoop: blocked.ownLoop,
    blockedByAcks: blocked.acks,
    blockedByRate: blocked.bucket,
    loopLag: more.lag,
    tablesFetched: more.synchronizer.completed,
    recordsFetched: more.synchronizer.received,
    pathsMulticast: paths.multicast,
    pathsUnicast: paths.unicast,
    pathsStream: paths.stream,
  }
}
