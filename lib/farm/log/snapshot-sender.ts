import type { Clock } from '../../clock.ts'
import { type CacheRecord, recordLength } from '../../record/record.ts'
import { frameTypes } from '../../wire/frame.ts'
import {
  type VectorEntry,
  writeSnapshot,
  writeSynced,
  writeVector,
} from '../../wire/frame-sync.ts'
import type { FrameLink } from '../link/frame-link.ts'
import type { Replica } from '../transport.ts'

const frameBytes = 64 * 1024
const scanLimit = 32
/** Longest time that a step keeps the donor's event loop. */
const stepTime = 4
/** Bytes that may wait in the socket before the next step. */
const waitingBytes = 512 * 1024

export interface SnapshotParts {
  readonly id: number
  readonly link: FrameLink
  readonly replica: Replica
  readonly clock: Clock
  /** What is held of every member's log, this one's too, at the moment of the call. */
  readonly vector: () => VectorEntry[]
  readonly onDone: (sent: number) => void
}

/**
 * Sends all that a member holds, while it goes on working. The vector goes out before the
 * walk begins: whatever is written later lies behind it in somebody's log, so a walk and the
 * logs from the vector on leave nothing out.
 */
export class SnapshotSender {
  readonly #parts: SnapshotParts
  #cursor: object | undefined
  #sent = 0
  #stopped = false

  constructor(parts: SnapshotParts) {
    this.#parts = parts
    const { id, link, vector } = parts
    link.send(frameTypes.vector, writeVector({ id, entries: vector() }))
    setImmediate(() => this.#step())
  }

  get link(): FrameLink {
    return this.#parts.link
  }

  stop(): void {
    this.#stopped = true
  }

  #step(): void {
    const { id, link, replica, clock, vector, onDone } = this.#parts
    if (this.#stopped || link.ended) return
    if (link.waiting > waitingBytes) {
      link.onceDrained(() => this.#step())
      return
    }
    const until = clock.monotonic() + stepTime
    let batch: CacheRecord[] = []
    let bytes = 0
    do {
      const { records, next } = replica.scan(this.#cursor, scanLimit)
      for (const record of records) {
        const length = recordLength(record)
        if (batch.length > 0 && bytes + length > frameBytes) {
          this.#send(batch)
          batch = []
          bytes = 0
        }
        batch.push(record)
        bytes += length
      }
      this.#cursor = next
    } while (
      this.#cursor !== undefined &&
      bytes < frameBytes &&
      clock.monotonic() < until
    )
    if (batch.length > 0) this.#send(batch)
    if (this.#cursor !== undefined) {
      setImmediate(() => this.#step())
      return
    }
    const synced = { id, sent: this.#sent, entries: vector() }
    link.send(frameTypes.synced, writeSynced(synced))
    onDone(this.#sent)
  }

  #send(records: CacheRecord[]): void {
    const { id, link } = this.#parts
    this.#sent += records.length
    link.send(frameTypes.snapshot, writeSnapshot({ id, records }))
  }
}
