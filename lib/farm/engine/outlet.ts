import { type ControlMessage, writeControlMessage } from '../../wire/control-message.ts'
import type { Peer } from '../peer/peer.ts'
import type { Roster } from '../peer/roster.ts'
import type { Settlement } from '../sending/write-waits.ts'
import type { PacketAction } from './engine-event.ts'

/** Where everything leaves an engine: datagrams by each member's path, and what else is done. */
export class Outlet {
  readonly #roster: Roster
  #actions: PacketAction[] = []

  constructor(roster: Roster) {
    this.#roster = roster
  }

  /** What has gathered since the last call. */
  take(): PacketAction[] {
    const actions = this.#actions
    this.#actions = []
    return actions
  }

  push(action: PacketAction): void {
    this.#actions.push(action)
  }

  /** To every member. `own`: to ourselves too, the feedback loop of row A17. */
  spread(datagram: Buffer, own: boolean): void {
    let multicast = false
    for (const peer of this.#roster.all()) {
      if (peer.path === 'multicast') multicast = true
      else if (!this.#roster.gone(peer)) this.direct(peer, datagram)
    }
    if (multicast) this.multicast(datagram)
    else if (own) this.#actions.push({ kind: 'unicast', datagram, to: undefined })
  }

  multicast(datagram: Buffer): void {
    this.#actions.push({ kind: 'multicast', datagram })
  }

  unicast(peer: Peer, datagram: Buffer): void {
    this.#actions.push({ kind: 'unicast', datagram, to: peer.address })
  }

  /** To one member. */
  direct(peer: Peer, datagram: Buffer): void {
    if (peer.connected && !peer.hearsUnicast)
      this.message(peer.id, { type: 'datagram', datagram })
    else if (peer.path !== 'stream') this.unicast(peer, datagram)
  }

  /** To one member, and for all others on the group to hear. */
  aloud(peer: Peer, datagram: Buffer): void {
    if (peer.path === 'multicast') this.multicast(datagram)
    else this.direct(peer, datagram)
  }

  message(to: string, message: ControlMessage): void {
    const spare = message.type === 'datagram'
    const bytes = writeControlMessage(message)
    this.#actions.push({ kind: 'message', to, message: bytes, spare })
  }

  settle(settlements: readonly Settlement[]): void {
    for (const { token, reached } of settlements)
      this.#actions.push({ kind: 'settle', token, reached })
  }
}
