import type { ConnectionOptions } from 'node:tls'
import type { Clock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import type { HybridClock } from '../../record/hybrid-clock.ts'
import type { Carrier } from '../../wire/frame-greeting.ts'
import type { Traffic } from '../link/frame-link.ts'
import type { InboundLink, InboundOwner } from '../link/inbound-link.ts'
import type { OutboundLink, OutboundOwner } from '../link/outbound-link.ts'
import type { Life } from './life.ts'
import type { StreamLimits } from './options.ts'

/** What flows over the links is not the mesh's business; whom they link is nobody else's. */
type MeshOutbound = 'onClockRefusal' | 'onWelcome' | 'onPeerState' | 'onLeave' | 'onEnd'
type MeshInbound = 'onHello' | 'onGreeted' | 'onPeerState' | 'onLeave' | 'onEnd'

export interface MeshOwner {
  readonly outbound: Omit<OutboundOwner, MeshOutbound>
  readonly inbound: Omit<InboundOwner, MeshInbound>
  /** A member that we dialled has said who it is. */
  onLinked(link: OutboundLink): void
  /** A dialler has been greeted. */
  onGreeted(link: InboundLink): void
  onOutboundEnd(link: OutboundLink): void
  onInboundEnd(link: InboundLink): void
  /** Its link is cut for so long, or in such a way, that it is not waited for. */
  onGone(id: string): void
  /** Links or states have changed. */
  onChange(): void
}

export interface MeshParts {
  readonly self: Life
  readonly carrier: Carrier
  readonly advertise: string
  readonly tls: ConnectionOptions
  readonly clock: Clock
  readonly versions: HybridClock
  readonly log: Log
  readonly random: () => number
  readonly limits: StreamLimits
  readonly traffic: Traffic
  readonly owner: MeshOwner
}
