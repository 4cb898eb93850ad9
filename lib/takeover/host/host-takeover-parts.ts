import type { Socket } from 'node:net'
import type { Cache } from '../../cache/cache.ts'
import type { Clock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import type { InterfaceAddresses } from '../native/interface-addresses.ts'
import type { NativeSocket } from '../native/native-socket.ts'
import type { PacketPorts } from '../native/packets/packet-port.ts'
import type { StrayPorts } from '../native/strays/stray-port.ts'
import type { Inheritance } from '../protection-options.ts'
import type { Fencer } from './election/fencer.ts'
import type { HeartbeatTimes } from './election/heartbeats.ts'
import type { Holding, MovedConnection } from './move/holding.ts'
import type { Place, ResetCause } from './restore/connection-takeover.ts'

export interface HostTakeoverOptions {
  /** This member's own virtual address, or the one that all have; and the interface of clients. */
  readonly address: string
  readonly interface: string
  /** All members have the same address, behind a switch. Undefined: each its own. */
  readonly shared?: SharedOptions | undefined
  readonly times: HeartbeatTimes
  readonly fencer: Fencer
  /** Longest wait of an answer for others to know of it, ms. Undefined: none waits. */
  readonly commit?: number | undefined
  /** Connections of one client are written down all at once. */
  readonly bundles?: boolean | undefined
}

export interface SharedOptions {
  /** An address of this host alone: it says which one to fence. */
  readonly host: string
}

export interface HostTakeoverParts {
  readonly self: string
  readonly cache: Cache
  /** 32 bytes for this alone. */
  readonly key: Buffer
  readonly clock: Clock
  readonly log: Log
  readonly sockets: NativeSocket
  readonly packets: PacketPorts
  readonly addresses: InterfaceAddresses
  /** Needed where the address is shared. */
  readonly strays?: StrayPorts | undefined
  /** Those of the address that clients come to. */
  ports(): readonly number[]
  /** Goes on with a connection of another host. */
  adopt(socket: Socket, checkpoint: Buffer, at: Place & Inheritance): void
  /** The connections of an address that is to go to another host; undefined: they end with this. */
  holding(address: string): Holding | undefined
  /** The same of one connection, by its id in hexadecimal. */
  holdingOf(connection: string): Holding | undefined
  /** Connections of clients that could move one by one. */
  movable(): readonly MovedConnection[]
  onReset(cause: ResetCause): void
  /** Somebody else has the address now: what is served there must not say another word. */
  onLost(address: string): void
}
