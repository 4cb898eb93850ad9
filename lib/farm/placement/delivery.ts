import { type CacheRecord, recordLength } from '../../record/record.ts'
import type { ControlMessage } from '../../wire/control-message.ts'

/** One write, as long as copies of it are under way. */
export interface OwnedWrite {
  /** Of a caller that waits for copies. */
  readonly token: number | undefined
  /** Members that this caller waits for yet; undefined: whoever has it first. */
  readonly awaited: Set<string> | undefined
  /** One of the members has it. */
  isTaken: boolean
  /** Members that were given it. */
  readonly tried: Set<string>
}

export interface Copy {
  readonly record: CacheRecord
  /** undefined: a record that was here before is copied to where it belongs now. */
  readonly write: OwnedWrite | undefined
  /** Somebody waits for this copy, so it is to be acknowledged at once. */
  readonly prompt: boolean
}

/** What a member may have been given and not acknowledged: pieces, and bytes. */
const windowLength = 4_096
const windowBytes = 1024 * 1024
/** Copies that wait for a member that acknowledges nothing; then it gets no more of them. */
const queueLength = 8_192
/** So many copies, or bytes, make a message worth sending. */
export const fullLength = 64
const messageBytes = 64 * 1024

/**
 * Copies on their way to one member, over one connection with it. They are numbered in the order
 * in which they leave, and acknowledged in that order.
 */
export class Delivery {
  readonly to: string
  readonly #queue: Copy[] = []
  readonly #underWay: Copy[] = []
  #underWayBytes = 0
  #taken = 0
  #isLast = false
  /** Since when something is under way. */
  #since = Infinity

  constructor(to: string) {
    this.to = to
  }

  /** Copies that it has not acknowledged, or not been given. */
  get size(): number {
    return this.#queue.length + this.#underWay.length
  }

  get isFull(): boolean {
    return this.#queue.length >= fullLength
  }

  /** Since when it has acknowledged nothing of what it was given; Infinity: it owes nothing. */
  get silentSince(): number {
    return this.#since
  }

  /** False when too many wait. */
  add(copy: Copy): boolean {
    if (this.#queue.length >= queueLength) return false
    this.#queue.push(copy)
    return true
  }

  /** After what waits, the member is told that this was all. */
  finish(): void {
    this.#isLast = true
  }

  /** The messages that may leave now. */
  flush(now: number): ControlMessage[] {
    const messages: ControlMessage[] = []
    while (this.#queue.length > 0 && this.#hasRoom) messages.push(this.#give(now))
    if (this.#isLast && this.#queue.length === 0) {
      this.#isLast = false
      messages.push({ type: 'moved' })
    }
    return messages
  }

  /** Acknowledged: those that are in the member's table now, and those that it could not take. */
  taken(
    upTo: number,
    refused: readonly number[],
    now: number,
  ): { taken: Copy[]; refused: Copy[] } {
    const count = Math.min(Math.max(0, upTo - this.#taken), this.#underWay.length)
    const copies = this.#underWay.splice(0, count)
    const failed = new Set(refused)
    const first = this.#taken + 1
    this.#taken += count
    this.#since = this.#underWay.length === 0 ? Infinity : now
    for (const { record } of copies) this.#underWayBytes -= recordLength(record)
    return {
      taken: copies.filter((_, i) => !failed.has(first + i)),
      refused: copies.filter((_, i) => failed.has(first + i)),
    }
  }

  /** The connection has ended: what it had not brought for certain. */
  lost(): Copy[] {
    return [...this.#underWay.splice(0), ...this.#queue.splice(0)]
  }

  get #hasRoom(): boolean {
    return this.#underWay.length < windowLength && this.#underWayBytes < windowBytes
  }

  #give(now: number): ControlMessage {
    const most = windowLength - this.#underWay.length
    let bytes = 0
    let count = 0
    for (const { record } of this.#queue) {
      if (count >= most || bytes >= messageBytes) break
      bytes += recordLength(record)
      count += 1
    }
    const copies = this.#queue.splice(0, count)
    const first = this.#taken + this.#underWay.length + 1
    if (this.#underWay.length === 0) this.#since = now
    for (const copy of copies) this.#underWay.push(copy)
    this.#underWayBytes += bytes
    return {
      type: 'give',
      prompt: copies.some(({ prompt }) => prompt),
      first,
      records: copies.map(({ record }) => record),
    }
  }
}
