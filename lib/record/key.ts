/**
 * A record's key: which virtual table it lies in, and the bytes that name it there
 * (seed 000, virtual tables: "a short table identifier is put before the key"; row A10).
 *
 *      0        1                         1 + n
 *      +--------+-------------------------+
 *      | table  | bytes (1..255)          |
 *      +--------+-------------------------+
 */
export type TableId = number & { readonly __brand: 'TableId' }

/** The virtual tables. Numbers are on the wire: never reuse one. */
export const tables = {
  /** TLS sessions; key = session ID (TLS 1.2) or the identity in a stateful ticket (TLS 1.3). */
  session: 1 as TableId,
  /** Who the user is; key = lineage id. */
  auth: 2 as TableId,
  /** Revocations; key = kind + name. */
  revocation: 3 as TableId,
  /** Application state of backends. */
  state: 4 as TableId,
  /** Checkpoints of live connections. */
  connection: 5 as TableId,
  /** Ticket keys and other farm-wide settings. */
  farm: 6 as TableId,
  /** Up to when other tables have been emptied; key = the table. See lib/cache/purge-marks.ts */
  purge: 7 as TableId,
  /** Which backend holds which client, and which are drained; key = a hash of either's name. */
  backend: 8 as TableId,
  /** How backends are; key = a hash of what is checked, then one of the host that did. */
  health: 9 as TableId,
  /** What servers remember of a database; see lib/state/cache/farm-cache.ts. */
  data: 10 as TableId,
} as const

/**
 * The tables whose records need not be on every member: where the topology is `partitioned` they
 * lie with the members that own their keys (row A7). A key of such a table is drawn at random and
 * written once; what is deleted is deleted on every member.
 */
export const ownedTables: ReadonlySet<TableId> = new Set([tables.session])

export const maxKeyLength = 255

/** Checks a table id from outside; ids 1..255 are valid, known or not. */
export function tableId(value: number): TableId {
  if (!Number.isInteger(value) || value < 1 || value > 255) {
    throw new RangeError(`table id must be a whole number from 1 to 255, got ${value}`)
  }
  return value as TableId
}
