/** What a member counts of records that lie with their owners; names are stable, for metrics. */
export interface PlacementCounts {
  /** Records sent to members that own them, and the messages in which they went. */
  copiesGiven: number
  copyMessages: number
  /** Of those, in the member's table; and not taken by it. */
  copiesTaken: number
  copiesRefused: number
  /** Not sent: too many waited for that member. */
  copiesDropped: number
  copiesReceived: number
  /** Copied to where they belong since members came or went. */
  recordsMoved: number
}

export function placementCounts(): PlacementCounts {
  return {
    copiesGiven: 0,
    copyMessages: 0,
    copiesTaken: 0,
    copiesRefused: 0,
    copiesDropped: 0,
    copiesReceived: 0,
    recordsMoved: 0,
  }
}
