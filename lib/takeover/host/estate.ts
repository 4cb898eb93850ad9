import type { Bequests, Left } from './bequests.ts'
import type { ConnectionTable } from './board/connection-table.ts'
import type { Claims } from './claims.ts'
import type { Elections } from './election/elections.ts'
import type { Failure, Heartbeats, HeldAddress } from './election/heartbeats.ts'
import type { HostTakeoverOptions, HostTakeoverParts } from './host-takeover-parts.ts'
import type { Bequest } from './restore/restorations.ts'
import type { FlowIndex } from './switch/flow-index.ts'

/** A claim of a member that has failed, for which this one was elected. */
export interface Legacy {
  readonly failed: string
  readonly claim: HeldAddress
  /** It was elected in the move right after that of `failed`: nobody else stood in between. */
  readonly isNext: boolean
  /** See Elected. */
  readonly isFirst: boolean
  /** All who are to be silent for good: `failed`, and who may have been elected before. */
  readonly toFence: readonly string[]
}

/** What it means to have a claim: what this member holds, and what it does with what it inherits. */
export interface Estate {
  /** Addresses that are here now. */
  readonly addresses: readonly string[]
  /** What became of what, since start. */
  readonly counts: EstateCounts
  /** In each interval: takes its own, when it can be had. */
  tend(failures: readonly Failure[], now: number): void
  /** The connections that come with a legacy. */
  bequests(legacy: Legacy): Bequest<Left>[]
  /**
   * All are silent: goes on with the connections, and holds the claim from then on. `fencing`:
   * milliseconds that it took. Throws when the claim can't be had.
   */
  inherit(
    legacy: Legacy,
    bequests: readonly Bequest<Left>[],
    fencing: number,
  ): Promise<void>
  /** What was held here is another member's: this one was taken for dead. */
  lose(address: string): void
  /** Gives all to other members; what can't be moved is waited for `patience` ms, then cut. */
  leave(patience: number): Promise<void>
  /** Nothing is here any more; resolves when nothing of it is left in the kernel. */
  close(): Promise<void>
}

export interface EstateCounts {
  /** Segments of others that a switch sent here; see StrayOutcome. */
  readonly strays: Readonly<Record<string, number>>
  /** Connections of dead members that this one has asked for; see GrantOutcome. */
  readonly grants: Readonly<Record<string, number>>
}

/** What is around an estate: the rest of HostTakeover. */
export interface EstateRoom {
  readonly options: HostTakeoverOptions
  readonly parts: HostTakeoverParts
  readonly table: ConnectionTable
  readonly heartbeats: Heartbeats
  readonly elections: Elections
  readonly claims: Claims
  readonly bequests: Bequests
  readonly index: FlowIndex
  /** This member was taken for dead: it counts on nothing that others told before. */
  distrust(): void
}
