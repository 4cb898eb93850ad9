/** How often something happened since start. */
export interface StateCounts {
  /** Reads that the data cache answered. */
  readonly hits: number
  readonly misses: number
  /** Questions to the database. */
  readonly loads: number
  /** Reads answered with an old value, for the database did not answer. */
  readonly stale: number
  readonly writes: number
  readonly failedWrites: number
  /** Somebody else was faster, and it was tried again. */
  readonly conflicts: number
  /** Sessions that came from another server, or from an earlier start of this one. */
  readonly flushes: number
  /** Values in the database that could not be read. */
  readonly unreadable: number
}

export class StateCounters {
  hits = 0
  misses = 0
  loads = 0
  stale = 0
  writes = 0
  failedWrites = 0
  conflicts = 0
  flushes = 0
  unreadable = 0

  snapshot(): StateCounts {
    return { ...this }
  }
}
