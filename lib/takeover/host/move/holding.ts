import type { ToldCheckpoint } from '../../checkpoint/told-checkpoint.ts'

/** A connection as another host goes on with it: nothing has been said on it since. */
export type MovedConnection = ToldCheckpoint

/** What became of the connections of an address. */
export interface GivenConnections {
  readonly moved: number
  /** Those that could not be moved. */
  readonly cut: number
}

/**
 * The connections of an address that are to go to another host. As long as they are held they are
 * deaf and dumb: their clients see a network that has lost a packet or two. Nothing is lost by
 * that, and all of it can be taken back.
 */
export interface Holding {
  /** How many could not be held now, and can't for a while yet. Holds none. */
  lasting(): number
  /**
   * Holds those that are not held yet and can be; new ones do not come any more. How many are left.
   * `late`: those, too, of which something is on its way to the client, or whose request is to be
   * asked once more over there; else these are waited for.
   */
  hold(late: boolean): number
  /** The held ones. */
  moved(): readonly MovedConnection[]
  /** All go on as if nothing had been. */
  release(): void
  /**
   * Ends those that are held, and their clients hear nothing of it; the others in order, before.
   * `leave` takes the address away from this host. When it throws nothing has happened to the held.
   */
  give(leave: () => void): GivenConnections
}
