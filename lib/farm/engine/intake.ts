import { type DatagramHeader, isDataType, readHeader } from '../../wire/datagram.ts'
import { ForgeryBudget } from '../peer/forgery-budget.ts'
import type { Peer } from '../peer/peer.ts'
import { receiveWindowLength } from '../peer/receive-window.ts'
import type { Roster } from '../peer/roster.ts'
import type { Sender } from '../sending/sender.ts'
import type { Counters } from './counters.ts'

export interface Opened {
  readonly peer: Peer
  readonly header: DatagramHeader
  readonly body: Buffer
}

/**
 * The door. What costs little is checked first: length and shape, farm, a known sender, a
 * sequence number that is new; only then is a datagram opened. Whatever fails is counted and
 * never answered, and nothing is remembered for anybody who is not a member.
 */
export class Intake {
  readonly #self: number
  readonly #farmTag: number
  readonly #roster: Roster
  readonly #sender: Sender
  readonly #counters: Counters
  readonly #budget = new ForgeryBudget()

  constructor(
    self: number,
    farmTag: number,
    parts: { roster: Roster; sender: Sender; counters: Counters },
  ) {
    this.#self = self
    this.#farmTag = farmTag
    this.#roster = parts.roster
    this.#sender = parts.sender
    this.#counters = parts.counters
  }

  /** An authentic datagram of another member that did not come before. */
  open(datagram: Buffer, from: string, now: number): Opened | undefined {
    const header = readHeader(datagram, this.#farmTag)
    if (header === undefined) return this.#reject('foreign')
    if (header.sender === this.#self) {
      if (isDataType(header.type)) this.#sender.ownCopy(header, datagram, now)
      return undefined
    }
    const peer = this.#roster.bySender(header.sender)
    if (peer === undefined) return this.#reject('unknown')
    const opener = peer.opener(header.epoch)
    if (opener === undefined) return this.#reject('unknownEpoch')
    const data = isDataType(header.type)
    if (!(data ? peer.window : peer.control).fresh(header.sequence)) {
      const reach = peer.window.contiguous + receiveWindowLength
      return this.#reject(data && header.sequence > reach ? 'overrun' : 'duplicates')
    }
    if (!this.#budget.allows(from, now)) return this.#reject('limited')
    const body = opener.open(datagram, data ? 'data' : 'control')
    if (body === undefined) {
      this.#budget.failed(from, now)
      return this.#reject('forged')
    }
    if (!data) peer.control.mark(header.sequence)
    return { peer, header, body }
  }

  #reject(
    reason:
      | 'foreign'
      | 'unknown'
      | 'unknownEpoch'
      | 'duplicates'
      | 'overrun'
      | 'limited'
      | 'forged',
  ): undefined {
    this.#counters[reason] += 1
    return undefined
  }
}
