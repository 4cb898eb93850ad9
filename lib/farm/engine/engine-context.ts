import type { SenderTag } from '../../wire/datagram.ts'
import type { Roster } from '../peer/roster.ts'
import type { Topology } from '../placement/topology.ts'
import type { Sender } from '../sending/sender.ts'
import type { PacketSettings } from '../settings.ts'
import type { Replica } from '../transport.ts'
import type { Counters } from './counters.ts'
import type { Outlet } from './outlet.ts'

export interface EngineOptions {
  readonly id: string
  readonly sender: SenderTag
  readonly farmTag: number
  readonly repository: boolean
  /** Clients are served here, as by the other processes of this host, though this one joins. */
  readonly serves?: boolean | undefined
  readonly settings: PacketSettings
  /** False: only a loop of unicast sends. */
  readonly multicast: boolean
  /** Port of our unicast socket. */
  readonly port: number
  /** False: no sockets, everything goes over the links. */
  readonly datagrams: boolean
  readonly replica: Replica
  /** Default: everything is on every member. */
  readonly topology?: Topology | undefined
  readonly random: () => number
  /** 32 fresh random bytes. */
  readonly newKey: () => Buffer
  /** Wall time. */
  readonly wall: () => number
  /** By how much a member's wall clock is ahead of ours, ms. Default: all are alike. */
  readonly ahead?: ((id: string) => number) | undefined
  /**
   * Sequence number before the first; more than 0 says that there is something in the table that
   * others may lack.
   */
  readonly last?: number | undefined
}

/** What the parts of an engine share while it handles one event. */
export interface EngineContext {
  readonly options: EngineOptions
  readonly roster: Roster
  readonly sender: Sender
  readonly counters: Counters
  readonly outlet: Outlet
  /** When the event happened. */
  now: number
  /** No `tick` is needed before. */
  wakeAt: number
}

/** Asks for a `tick` at `at`; what should have been done already is due now, and not late. */
export function wake(context: EngineContext, at: number): void {
  if (at < context.wakeAt) context.wakeAt = Math.max(at, context.now)
}
