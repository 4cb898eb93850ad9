import type { TableId } from '../../record/key.ts'

/**
 * Where the records of `ownedTables` are: on all members, on those that own their keys, or on the
 * repositories and where they were made.
 */
export type Layout = 'replicated' | 'partitioned' | 'tiered'

/** In what order the owners of a key are asked: one after the other, or all at once (row A6). */
export type Asks = 'sequence' | 'parallel'

/** Who holds a key. What it says depends on its arguments alone. */
export interface Topology {
  /** Members that own a key. */
  readonly copies: number
  readonly asks: Asks
  /** Repositories that own a key; Infinity: each has all. */
  readonly repositoryCopies: number
  /**
   * The layout in a farm of so many members, this one included, that had another `before`.
   * `repositories`: it has, or had, some.
   */
  layout(members: number, before: Layout, repositories?: boolean): Layout
  /** The order of some members for each key. */
  among(ids: readonly string[]): Ranking
}

export interface Ranking {
  /** The first `count` for a key, or all where there are fewer. */
  first(table: TableId, key: Buffer, count: number): string[]
}

/** Everything is on every member. */
export const replicated: Topology = {
  copies: Infinity,
  repositoryCopies: Infinity,
  asks: 'parallel',
  layout: () => 'replicated',
  among: ids => ({ first: () => [...ids] }),
}
