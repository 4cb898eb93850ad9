import type { Clock } from '../../clock.ts'
import type { CacheRecord } from '../../record/record.ts'
import type {
  SnapshotFrame,
  SyncedFrame,
  VectorEntry,
  VectorFrame,
} from '../../wire/frame-sync.ts'
import type { OutboundLink } from '../link/outbound-link.ts'
import type { Origin } from './applied-vector.ts'

/** A donor from which nothing comes for so long is given up. */
const stallTime = 3_000

export interface SyncDone {
  readonly donor: string
  readonly records: number
  readonly ms: number
  /** What the donor held before its walk, and after it. */
  readonly before: readonly VectorEntry[]
  readonly after: readonly VectorEntry[]
}

export interface StateSyncParts {
  readonly clock: Clock
  apply(record: CacheRecord): void
  /** The donor's vector has come; the logs may start from it. */
  onVector(): void
  onDone(done: SyncDone): void
  onFailed(donor: string, reason: string): void
}

/** Takes a snapshot of everything from one other member at a time. */
export class StateSync {
  readonly #parts: StateSyncParts
  #current: Sync | undefined
  #lastId = 0

  constructor(parts: StateSyncParts) {
    this.#parts = parts
  }

  get active(): boolean {
    return this.#current !== undefined
  }

  begin(link: OutboundLink): void {
    this.#lastId = (this.#lastId + 1) >>> 0
    const now = this.#parts.clock.monotonic()
    this.#current = {
      id: this.#lastId,
      link,
      donor: link.peer?.id ?? '',
      startedAt: now,
      progressAt: now,
      records: 0,
      before: undefined,
    }
    link.sync(this.#lastId)
  }

  /** What the snapshot under way will bring of this log; undefined while that is not known. */
  covers(origin: Origin): number | undefined {
    const before = this.#current?.before
    if (before === undefined) return undefined
    const entry = before.find(
      ({ member, incarnation }) =>
        member === origin.id && incarnation === origin.incarnation,
    )
    return entry?.sequence ?? 0
  }

  onVector(link: OutboundLink, frame: VectorFrame): void {
    const sync = this.#find(link, frame.id)
    if (sync === undefined) return
    sync.before = frame.entries
    this.#parts.onVector()
  }

  onSnapshot(link: OutboundLink, frame: SnapshotFrame): void {
    const sync = this.#find(link, frame.id)
    if (sync === undefined) return
    sync.records += frame.records.length
    for (const record of frame.records) this.#parts.apply(record)
  }

  onSynced(link: OutboundLink, frame: SyncedFrame): void {
    const sync = this.#find(link, frame.id)
    if (sync === undefined) return
    if (sync.before === undefined || frame.sent !== sync.records) {
      this.#fail('its snapshot is not complete')
      return
    }
    this.#current = undefined
    this.#parts.onDone({
      donor: sync.donor,
      records: sync.records,
      ms: Math.round(this.#parts.clock.monotonic() - sync.startedAt),
      before: sync.before,
      after: frame.entries,
    })
  }

  onRefused(link: OutboundLink, id: number): void {
    if (this.#find(link, id) !== undefined) this.#fail('it refused')
  }

  onLinkEnd(link: OutboundLink): void {
    if (this.#current?.link === link) this.#fail('its link ended')
  }

  /** Gives up a donor from which nothing comes. */
  check(): void {
    const sync = this.#current
    if (sync === undefined) return
    if (this.#parts.clock.monotonic() - sync.progressAt > stallTime) {
      this.#fail('nothing came any more')
    }
  }

  #find(link: OutboundLink, id: number): Sync | undefined {
    const sync = this.#current
    // What is left of an earlier snapshot of this donor is nothing to us.
    if (sync?.link !== link || sync.id !== id) return undefined
    sync.progressAt = this.#parts.clock.monotonic()
    return sync
  }

  #fail(reason: string): void {
    const donor = this.#current?.donor ?? ''
    this.#current = undefined
    this.#parts.onFailed(donor, reason)
  }
}

interface Sync {
  readonly id: number
  readonly link: OutboundLink
  readonly donor: string
  readonly startedAt: number
  progressAt: number
  records: number
  before: readonly VectorEntry[] | undefined
}
