/** What a packet engine counts; names are stable, for metrics. */
export class Counters {
  datagramsSent = 0
  datagramsReceived = 0
  heartbeatsSent = 0
  recordsApplied = 0
  recordsIgnored = 0
  nacksSent = 0
  nacksReceived = 0
  repairsSent = 0
  acksSent = 0
  acksReceived = 0
  pullsSent = 0
  resyncs = 0
  /** Not this farm's, or not a datagram at all. */
  foreign = 0
  /** This farm's, from no member that we know. */
  unknown = 0
  unknownEpoch = 0
  /** Came before, or replayed. */
  duplicates = 0
  /** Too far ahead of the first gap. */
  overrun = 0
  forged = 0
  /** Not opened: the source had too many forged ones. */
  limited = 0
  /** Authentic, and still nonsense. */
  malformed = 0
  /** Records from the future, not taken. */
  refusedFuture = 0
  /** Records that the table could not take. */
  applyErrors = 0
  /** Writes while no repository of a tiered farm could be reached. */
  writesNotDurable = 0
  /** Writes given up because the queue was full. */
  dropped = 0
  suspicions = 0
  refutations = 0
  lateTicks = 0
}
