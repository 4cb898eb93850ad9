import type { CacheRecord } from '../../record/record.ts'
import type { LinkedMember } from '../channel/control-channel.ts'
import type { Address, Path } from '../peer/peer.ts'
import type { WriteLevel } from '../transport.ts'

/** What can happen to a packet engine. */
export type PacketEvent =
  | {
      readonly kind: 'datagram'
      readonly datagram: Buffer
      /** Host that it came from, as far as one can tell. */
      readonly from: string
      readonly by: 'multicast' | 'unicast'
    }
  | { readonly kind: 'message'; readonly from: string; readonly message: Buffer }
  | { readonly kind: 'up'; readonly peer: LinkedMember }
  | { readonly kind: 'down'; readonly id: string }
  /** Its link was cut, and will not stand again in a moment. */
  | { readonly kind: 'gone'; readonly id: string }
  /** There is no talking to the member any more, not even by datagrams. */
  | { readonly kind: 'refused'; readonly id: string }
  /** The link has taken all that a message with `drains` ended. */
  | { readonly kind: 'drained'; readonly id: string }
  /** Every member that can be reached is connected now. */
  | { readonly kind: 'connected' }
  | {
      readonly kind: 'publish'
      readonly record: CacheRecord
      readonly level: WriteLevel
      readonly budget: number
      /** Comes back in a `settle` action. */
      readonly token: number
    }
  /** The engine's deadline has come. */
  | { readonly kind: 'tick' }
  | { readonly kind: 'rotate' }
  /** Clients are served from now on, be this member complete or not. */
  | { readonly kind: 'serve' }
  | { readonly kind: 'leave' }

/** What a packet engine wants done, in this order. */
export type PacketAction =
  | { readonly kind: 'multicast'; readonly datagram: Buffer }
  /** `to` undefined: to our own unicast socket. */
  | {
      readonly kind: 'unicast'
      readonly datagram: Buffer
      readonly to: Address | undefined
    }
  | {
      readonly kind: 'message'
      readonly to: string
      readonly message: Buffer
      /** A datagram: one that is lost is asked for again. */
      readonly spare: boolean
      /** Tell by `drained` when it is sent. */
      readonly drains?: boolean
    }
  | { readonly kind: 'settle'; readonly token: number; readonly reached: boolean }
  /** This member holds what the farm held when it came. */
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'member'
      readonly id: string
      readonly change: 'joined' | 'suspect' | 'back' | 'gone' | 'left'
    }
  /** By which way what we send reaches the member, when that has changed. */
  | { readonly kind: 'path'; readonly id: string; readonly path: Path }
