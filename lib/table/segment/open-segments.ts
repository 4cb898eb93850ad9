import type { TableId } from '../../record/key.ts'
import type { Segment } from './segment.ts'
import type { Segments } from './segments.ts'
import { type TtlClass, ttlClasses } from './ttl-class.ts'

/**
 * Where records are appended: one open segment per virtual table and class of time to live.
 * At most a quarter of the table is open, lest half-empty segments fill it: past that a class
 * without an open segment shares one of its table, or the one that was opened first is sealed.
 */
export class OpenSegments {
  readonly #segments: Segments
  readonly #byTable: (Segment | undefined)[][] = []
  readonly #inOrder = new Set<Segment>()

  constructor(segments: Segments) {
    this.#segments = segments
  }

  /** An open segment with room for `length` bytes, a new one if need be and if there may be. */
  withRoom(table: TableId, ttlClass: TtlClass, length: number): Segment | undefined {
    const open = this.#byTable[table]?.[ttlClass]
    if (open !== undefined) {
      if (open.hasRoom(length)) return open
      this.seal(open)
    } else if (this.#isAtLimit) {
      const shared = this.nearest(table, ttlClass, length)
      if (shared !== undefined) return shared
    }
    return this.#open(table, ttlClass)
  }

  /** The open segment with room of the nearest class, rather a longer-lived one. */
  nearest(table: TableId, ttlClass: TtlClass, length: number): Segment | undefined {
    const open = this.#byTable[table]
    if (open === undefined) return undefined
    for (let i: number = ttlClass; i < ttlClasses; i += 1) {
      if (open[i]?.hasRoom(length) === true) return open[i]
    }
    for (let i = ttlClass - 1; i >= 0; i -= 1) {
      if (open[i]?.hasRoom(length) === true) return open[i]
    }
    return undefined
  }

  seal(segment: Segment): void {
    segment.sealed = true
    this.#inOrder.delete(segment)
    const open = this.#byTable[segment.table]
    if (open?.[segment.ttlClass] === segment) open[segment.ttlClass] = undefined
  }

  clear(): void {
    this.#byTable.length = 0
    this.#inOrder.clear()
  }

  get #isAtLimit(): boolean {
    return this.#inOrder.size >= this.#segments.capacity >> 2
  }

  #open(table: TableId, ttlClass: TtlClass): Segment | undefined {
    if (this.#isAtLimit) {
      for (const first of this.#inOrder) {
        this.seal(first)
        break
      }
    }
    const segment = this.#segments.take(table, ttlClass)
    if (segment === undefined) return undefined
    this.#byTable[table] ??= new Array<Segment | undefined>(ttlClasses).fill(undefined)
    ;(this.#byTable[table] as (Segment | undefined)[])[ttlClass] = segment
    this.#inOrder.add(segment)
    return segment
  }
}
