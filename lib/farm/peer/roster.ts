import type { SenderTag } from '../../wire/datagram.ts'
import type { PacketSettings } from '../settings.ts'
import type { WriteLevel } from '../transport.ts'
import { chooseAckers } from './acker-choice.ts'
import { Membership } from './membership.ts'
import type { Peer } from './peer.ts'

/** The other members, and what follows from who they are. */
export class Roster {
  readonly membership: Membership
  readonly #self: string
  readonly #peers = new Map<string, Peer>()
  readonly #senders = new Map<SenderTag, Peer>()

  constructor(self: string, heartbeat: number, now: number, suspects = true) {
    this.#self = self
    this.membership = new Membership(heartbeat, now, suspects)
  }

  get size(): number {
    return this.#peers.size
  }

  all(): IterableIterator<Peer> {
    return this.#peers.values()
  }

  get(id: string): Peer | undefined {
    return this.#peers.get(id)
  }

  bySender(sender: SenderTag): Peer | undefined {
    return this.#senders.get(sender)
  }

  add(peer: Peer, now: number): void {
    this.remove(peer.id)
    this.#peers.set(peer.id, peer)
    this.#senders.set(peer.sender, peer)
    this.membership.add(peer.id, now)
  }

  remove(id: string): Peer | undefined {
    const peer = this.#peers.get(id)
    if (peer === undefined) return undefined
    this.#peers.delete(id)
    this.#senders.delete(peer.sender)
    this.membership.remove(id)
    return peer
  }

  gone(peer: Peer): boolean {
    return this.membership.state(peer.id) === 'gone'
  }

  /** Alive and complete: whom a write can count on. */
  serving(): Peer[] {
    return this.#alive(peer => peer.ready)
  }

  /** Those that what is revoked must have reached, though one of them may not be complete. */
  acting(): Peer[] {
    return this.#alive(peer => peer.ready || peer.serves)
  }

  ackers({ acks, autoAckers }: Pick<PacketSettings, 'acks' | 'autoAckers'>): Peer[] {
    const serving = this.serving()
    const chosen = new Set(chooseAckers(acks, this.#self, serving, autoAckers))
    return serving.filter(({ id }) => chosen.has(id))
  }

  /** Up to which of our datagrams a write level is reached. `last`: our last one. */
  reached(level: WriteLevel, last: number): number {
    if (level === 'local') return last
    if (level === 'all') return least(this.acting(), last)
    if (level === 'repositories') {
      const repositories = this.serving().filter(({ repository }) => repository)
      if (repositories.length > 0) return least(repositories, last)
    }
    let most = 0
    for (const peer of this.#peers.values()) most = Math.max(most, peer.acked)
    return most
  }

  /** Shares the work of asking for losses; see nack-delay.ts. */
  regroup(shared: boolean): void {
    const ids = [...this.#peers.keys()]
      .filter(id => this.membership.state(id) !== 'gone')
      .concat(this.#self)
      .sort()
    const own = ids.indexOf(this.#self)
    // A sender does not ask itself: those after it in the order move up by one.
    for (const [i, id] of ids.entries()) {
      const peer = this.#peers.get(id)
      if (peer === undefined) continue
      const rank = i < own ? own - 1 : own
      peer.group = shared ? { size: ids.length - 1, rank } : { size: 1, rank: 0 }
    }
  }

  #alive(isOne: (peer: Peer) => boolean): Peer[] {
    return [...this.#peers.values()].filter(
      peer => isOne(peer) && this.membership.state(peer.id) === 'alive',
    )
  }
}

function least(peers: readonly Peer[], last: number): number {
  return peers.reduce((lowest, { acked }) => Math.min(lowest, acked), last)
}
