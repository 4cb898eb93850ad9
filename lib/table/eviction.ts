import type { TableId } from '../record/key.ts'
import type { BuzHash } from './buzhash.ts'
import type { HashIndex } from './index/hash-index.ts'
import type { Offset } from './layout.ts'
import type { OpenSegments } from './segment/open-segments.ts'
import type { Segment } from './segment/segment.ts'
import type { Segments } from './segment/segments.ts'
import { type TtlClass, ttlClass } from './segment/ttl-class.ts'

/** The part of a segment that may survive its eviction; what is left over is the gain. */
const keptShare = 0.75
/** For how many segments the part that was not made use of is saved up. */
const mostSaved = 4

/** Since start. */
export interface Losses {
  evicted: number
  expired: number
  corrupt: number
}

/**
 * Makes room by emptying one segment at a time, a few records per call. Survivors are merged
 * into the open segments:
 *
 * - from a segment of which less than half is live, every live record;
 * - else from the oldest segment, the records used since they were written or last survived
 *   (a second chance, up to three) and the tombstones, as far as three quarters of what was
 *   evicted lately.
 *
 * Until a record has been moved it stands where it was, so that reads go on meanwhile.
 */
export class Eviction {
  readonly #segments: Segments
  readonly #open: OpenSegments
  readonly #index: HashIndex
  readonly #hash: BuzHash
  readonly #losses: Losses
  #victim: Segment | undefined
  #offset = 0 as Offset
  #keepAll = false
  /** Bytes that may yet survive. */
  #allowance: number
  #candidate: Segment | undefined

  /** `hash` is overwritten by every step. */
  constructor(
    segments: Segments,
    open: OpenSegments,
    index: HashIndex,
    hash: BuzHash,
    losses: Losses,
  ) {
    this.#segments = segments
    this.#open = open
    this.#index = index
    this.#hash = hash
    this.#losses = losses
    this.#allowance = segments.segmentLength * mostSaved
  }

  /** Takes note of a segment: the next victim is the emptiest of those seen since the last. */
  consider(segment: Segment): void {
    if (!isSparse(segment) || segment === this.#victim) return
    const best = this.#candidate
    if (best === undefined || best.freed || segment.liveBytes < best.liveBytes) {
      this.#candidate = segment
    }
  }

  /** Works through about so many bytes of the victim. */
  step(bytes: number, now: number): void {
    let left = bytes
    while (left > 0) {
      const victim = this.#current()
      if (victim === undefined) return
      const offset = this.#offset
      if (victim.live === 0 || !victim.holdsRecordAt(offset)) {
        this.#finish(victim)
        return
      }
      const length = victim.lengthAt(offset)
      this.#offset = (offset + length) as Offset
      this.#decide(victim, offset, length, now)
      left -= length
    }
  }

  /** Works through all that is left of the victim. */
  finish(now: number): void {
    this.step(this.#segments.segmentLength + 1, now)
    if (this.#victim?.freed === false) this.#finish(this.#victim)
  }

  clear(): void {
    this.#victim = undefined
    this.#candidate = undefined
  }

  #current(): Segment | undefined {
    if (this.#victim?.freed === false) return this.#victim
    const candidate = this.#candidate
    this.#candidate = undefined
    const { oldest } = this.#segments
    const victim = candidate !== undefined && isSparse(candidate) ? candidate : oldest
    if (victim !== undefined) {
      this.#open.seal(victim)
      this.#keepAll = isSparse(victim)
    }
    this.#victim = victim
    this.#offset = 0 as Offset
    const { segmentLength } = this.#segments
    this.#allowance = Math.min(
      segmentLength * mostSaved,
      this.#allowance + segmentLength * keptShare,
    )
    return victim
  }

  #finish(victim: Segment): void {
    // The walk has met every record but those whose header or key has changed since.
    this.#losses.corrupt += victim.live
    this.#segments.free(victim)
    this.#victim = undefined
  }

  #decide(victim: Segment, offset: Offset, length: number, now: number): void {
    victim.hashKey(offset, this.#hash)
    if (!this.#index.findPlace(this.#hash, victim, offset)) return
    this.#segments.tally(victim, -1, length)
    const expiresAt = victim.expiryAt(offset)
    if (expiresAt <= now) {
      this.#index.remove()
      this.#losses.expired += 1
      return
    }
    const target = this.#isKept(victim, offset, length)
      ? this.#target(victim.table, ttlClass(expiresAt - now), length)
      : undefined
    if (target === undefined) {
      this.#index.remove()
      this.#losses.evicted += 1
      return
    }
    const moved = target.appendCopy(victim, offset, expiresAt)
    this.#segments.tally(target, 1, length)
    this.#index.point(target, moved)
    if (this.#keepAll) return
    this.#index.uses = Math.max(0, this.#index.uses - 1)
    this.#allowance -= length
  }

  #target(table: TableId, wanted: TtlClass, length: number): Segment | undefined {
    const target = this.#open.withRoom(table, wanted, length)
    return target ?? this.#open.nearest(table, wanted, length)
  }

  #isKept(victim: Segment, offset: Offset, length: number): boolean {
    if (this.#keepAll) return true
    if (length > this.#allowance) return false
    return this.#index.uses > 0 || victim.isTombstone(offset)
  }
}

function isSparse(segment: Segment): boolean {
  return segment.sealed && !segment.freed && segment.liveBytes < segment.bytes.length / 2
}
