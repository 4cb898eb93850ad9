import { BoundedMap } from '../../bounded-map.ts'
import type { SenderTag } from '../../wire/datagram.ts'
import type { VectorEntry } from '../../wire/sync-message.ts'
import type { Peer } from '../peer/peer.ts'
import type { EngineContext } from './engine-context.ts'

/** Lives of members that are remembered after they have ended. */
const mostPast = 1_024

/**
 * What members wrote that are away. Over links each sends only what it wrote itself, so when one
 * is lost after its last records have reached some of the others, nothing brings them to the
 * rest. Whoever loses a member tells the others up to where it has what that wrote, and whoever
 * meets a member tells it of all that are away; who has less fetches the table, who has more
 * says so.
 */
export class Orphans {
  readonly #context: EngineContext
  readonly #fetchTable: (from: Peer, lacked: VectorEntry) => void
  readonly #past = new BoundedMap<SenderTag, number>(mostPast)

  /** `fetchTable`: the table of a member that has everything up to there. */
  constructor(
    context: EngineContext,
    fetchTable: (from: Peer, lacked: VectorEntry) => void,
  ) {
    this.#context = context
    this.#fetchTable = fetchTable
  }

  /** Of lives that are over, up to where our table has everything. */
  past(): Iterable<[SenderTag, number]> {
    return this.#past
  }

  /** A table was fetched that has this of a life that is over. */
  note(sender: SenderTag, whole: number): void {
    if (whole <= this.#wholeOf(sender)) return
    this.#past.set(sender, whole)
  }

  /** Nothing comes from this member any more. */
  lost(peer: Peer): void {
    const { roster } = this.#context
    const { sender } = peer
    if (roster.bySender(sender) === undefined && peer.settled)
      this.note(sender, peer.whole)
    for (const other of roster.all())
      if (other !== peer && other.connected)
        this.#tell(other, sender, peer.settled ? peer.whole : 0)
  }

  /** A link with this member has come up. */
  met(peer: Peer): void {
    for (const other of this.#context.roster.all())
      if (!other.connected && other.settled) this.#tell(peer, other.sender, other.whole)
    for (const [sender, whole] of this.#past) this.#tell(peer, sender, whole)
  }

  told(from: Peer, sender: SenderTag, whole: number): void {
    const { options, roster } = this.#context
    // While its own link stands, the member brings the rest itself.
    if (sender === options.sender || roster.bySender(sender)?.connected === true) return
    const ours = this.#wholeOf(sender)
    if (whole > ours) this.#fetchTable(from, { sender, contiguous: whole })
    else if (whole < ours) this.#tell(from, sender, ours)
  }

  #wholeOf(sender: SenderTag): number {
    const peer = this.#context.roster.bySender(sender)
    if (peer === undefined) return this.#past.get(sender) ?? 0
    return peer.settled ? peer.whole : 0
  }

  #tell(peer: Peer, sender: SenderTag, contiguous: number): void {
    this.#context.outlet.message(peer.id, { type: 'held', sender, contiguous })
  }
}
