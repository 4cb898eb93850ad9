import type { AbsentMember, Member, TransportStats } from '../farm/transport.ts'
import { malformed } from '../wire/frame-bytes.ts'

/** A user that heard nothing for so long, ms, does not know what has been revoked. */
export const silentAfter = 1_500
/** How often a keeper tells its state when it did not change, ms. */
export const stateInterval = 500

/** What a keeper knows of the farm. */
export interface KeeperState {
  readonly members: readonly Member[]
  readonly absent: readonly AbsentMember[]
  /** See Transport.isCurrent. */
  readonly isCurrent: boolean
  /** Nobody outside of this host need be told, nor can be asked. */
  readonly isAlone: boolean
  /** Processes of this host. */
  readonly processes: number
  /** Of those that have the keeper's link, or had it and may serve. */
  readonly pids: readonly number[]
  readonly stats: TransportStats
  /** Where the host listens for others, `host:port`. */
  readonly address: string | undefined
  /** The farm's time there, ms; 0 where nothing is said of it. */
  readonly now: number
}

export const unknownState: KeeperState = {
  members: [],
  absent: [],
  isCurrent: false,
  isAlone: false,
  processes: 1,
  pids: [],
  stats: {},
  address: undefined,
  now: 0,
}

export function writeState(state: KeeperState): Buffer {
  return Buffer.from(JSON.stringify(state))
}

/** Of the one who has shown the key; its form is checked so that no figure is undefined. */
export function readState(body: Buffer): KeeperState {
  const state = JSON.parse(body.toString()) as Partial<KeeperState>
  const { members, absent, isCurrent, isAlone, processes, pids, stats, address } = state
  const { now = 0 } = state
  const isWhole =
    Array.isArray(members) &&
    Array.isArray(absent) &&
    typeof isCurrent === 'boolean' &&
    typeof isAlone === 'boolean' &&
    typeof processes === 'number' &&
    Array.isArray(pids) &&
    typeof stats === 'object' &&
    (address === undefined || typeof address === 'string') &&
    Number.isFinite(now)
  if (!isWhole) throw malformed('state')
  return { ...unknownState, ...state }
}
