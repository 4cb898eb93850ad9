import { hkdfSync } from 'node:crypto'
import type { Cache } from '../cache/cache.ts'
import type { Clock } from '../clock.ts'
import type { LimitCounters } from '../limit/limit-counters.ts'
import type { Log } from '../log.ts'
import type { AuthCounters } from './auth-counters.ts'
import type { IsRevoked, OpenExchanges } from './open-exchanges.ts'

/** What authentication needs of the member it runs in. */
export interface AuthContext {
  readonly cache: Cache
  readonly clock: Clock
  /**
   * This member's own wall time in milliseconds, for what others have dated: the farm's time is
   * that of the clock that is furthest ahead. Default: what `clock` says.
   */
  readonly wall?: () => number
  readonly log: Log
  /** 32 bytes for this purpose alone, drawn from the farm's secret: equal on all members. */
  readonly key: Buffer
  /** A lineage ends this long after its full handshake, in milliseconds. */
  readonly lineageTimeout: number
  /** Asked about each identity before it is used. Default: never. */
  readonly isRevoked?: IsRevoked
  /** Of the member: what was let in and is open. Default: some that only a log-out here ends. */
  readonly exchanges?: OpenExchanges
  /** Of the member, for all its auths. Default: some of its own. */
  readonly counters?: AuthCounters
  /** Likewise: how often limits were met. Default: some of its own. */
  readonly limitCounters?: LimitCounters
  readonly random?: (bytes: number) => Buffer
  /** Called when it is closed. */
  readonly onClose?: () => void
}

/** Keys of different realms and purposes have nothing to do with each other. */
export function deriveKey(key: Buffer, realm: string, purpose: string): Buffer {
  const info = `handfast auth 1 ${purpose}\0${realm}`
  return Buffer.from(hkdfSync('sha256', key, Buffer.alloc(0), info, 32))
}
