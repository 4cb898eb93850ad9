import type { TableId } from '../../record/key.ts'

/** Where the records of `ownedTables` are: on all members, or on those that own their keys. */
export type Layout = 'replicated' | 'partitioned'

/** In what order the owners of a key are asked: one after the other, or all at once (row A6). */
export type Asks = 'sequence' | 'parallel'

/** Who holds a key. What it says depends on its arguments alone. */
export interface Topology {
  /** Members that own a key. */
  readonly copies: number
  readonly asks: Asks
  /** The layout in a farm of so many members, this one included, that had another `before`. */
  layout(members: number, before: Layout): Layout
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
  asks: 'parallel',
  layout: () => 'replicated',
  among: ids => ({ first: () => [...ids] }),
}
