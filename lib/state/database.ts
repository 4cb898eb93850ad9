import { HandfastError } from '../errors.ts'

/**
 * Where application state is kept for good. What is here, small as it is, is all that state asks
 * of a database; test/state/database-contract.ts tries every promise on each of them.
 *
 * Names of tables have 1 to 32 letters, digits, `-` or `_`; keys are texts of 1 to 200 bytes
 * without NUL; values have up to 17 MiB. The end of an entry is wall time in milliseconds since
 * 1970: from then on it is not there, on no account, whenever it is taken away.
 *
 * What a call rejects with says what became of it. ERR_HANDFAST_DATABASE: nothing was changed,
 * for certain (RefusedByDatabase where others may fare better). ERR_HANDFAST_DATABASE_FULL: the same, for want of room. ERR_HANDFAST_SCHEMA: the
 * database was written by a later release. **Anything else, of a call that changes something:
 * nobody knows**, for example because the connection broke before the answer; state makes
 * ERR_HANDFAST_OUTCOME_UNKNOWN of it. A database never tries a change twice by itself.
 */
export interface Database {
  /** For errors and metrics: `lmdb`, `postgres`. */
  readonly name: string
  /** Who may change it. `process`: nobody but this object, while it is open. */
  readonly reach: 'process' | 'host' | 'network'
  /** It is in the memory of this process and ends with it. */
  readonly isVolatile?: boolean

  /**
   * Makes what it needs, tables and scripts. Called before anything else, and again after it has
   * rejected with ERR_HANDFAST_DATABASE: it does not answer yet. ERR_HANDFAST_SCHEMA: what is there
   * was made by a later release. ERR_HANDFAST_CONFIG: it refuses us, and no time mends that.
   */
  open(): Promise<void>

  /** What is there; never older than a write that had resolved, anywhere, when this began. */
  get(table: string, key: string): Promise<Stored | undefined>

  /**
   * Stores the value where the version is `expected`, or, for undefined, where nothing is. Resolves
   * with the new version, and with undefined, having changed nothing, where it is another one.
   *
   * One of several at a time wins. When it resolves, the value outlives the end of this process,
   * of the database and of the power. `expiresAt` undefined: it is there for good.
   *
   * **A new version is larger than every version that this key ever had**, those before it was
   * deleted or had ended included: what loads late is told from what is new by nothing else.
   */
  compareAndSet(
    table: string,
    key: string,
    expected: bigint | undefined,
    value: Buffer,
    expiresAt: number | undefined,
  ): Promise<bigint | undefined>

  /**
   * Takes the entry away, durably, whatever its version, or only where that is `expected`. Resolves
   * with the version that it had, and with undefined where there was none, or another.
   */
  delete(table: string, key: string, expected?: bigint): Promise<bigint | undefined>

  /**
   * Gives the entry another end; its version stays. Says how the end moved, `later` also where it
   * did not; undefined where nothing is there. May be forgotten when the database dies within a
   * second: then the end before holds.
   */
  expire(
    table: string,
    key: string,
    expiresAt: number | undefined,
  ): Promise<EndMove | undefined>

  /**
   * A step of a walk over a table, in an order of its own: about `limit` entries, and where the
   * walk goes on; `next` is undefined at its end. What is there from the start to the end is
   * seen, sometimes twice; a step may be empty.
   */
  scan(table: string, cursor?: string, limit?: number): Promise<ScanPage>

  /**
   * Tells of changes by others, soon after they are made. Returns the way to stop it. Where it can
   * fail without a word, it isn't there.
   */
  watch?(watcher: ChangeWatcher): () => void

  /** Ends connections and timers. Calls under way end, or reject. */
  close(): Promise<void>
}

export type EndMove = 'earlier' | 'later'

/** A value in a database, with the version that a change must name. */
export interface Stored {
  readonly value: Buffer
  /** From 1 to 2^63 - 1. */
  readonly version: bigint
  /** Wall time in milliseconds; undefined: it has none. */
  readonly expiresAt: number | undefined
}

export interface ScannedEntry extends Stored {
  readonly key: string
}

export interface ScanPage {
  readonly entries: readonly ScannedEntry[]
  readonly next: string | undefined
}

export interface ChangeWatcher {
  /**
   * A value of this key with a version below `floor` is not the newest. After a write that is its
   * version; after a deletion one more than the version that was deleted.
   */
  changed(table: string, key: string, floor: bigint): void
  /**
   * The end of this entry is earlier than it was, and its version the same. Of one that is later
   * nobody is told: who goes by the earlier one looks in the database then.
   */
  shortened(table: string, key: string): void
  /** Changes may go unheard from now on, until `heard`; the connection was lost. */
  deaf(): void
  /** All changes from now on are told. To be called once at the start, too. */
  heard(): void
}

/** `undefined`: it has no end. */
export function moveOf(from: number | undefined, to: number | undefined): EndMove {
  return (to ?? Infinity) < (from ?? Infinity) ? 'earlier' : 'later'
}

/**
 * Nothing was changed, and it is a matter of this call alone: the database answers others. A lock
 * that somebody keeps on the entry, or a trigger of the operator's that refuses it.
 */
export class RefusedByDatabase extends HandfastError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_HANDFAST_DATABASE', message, options)
  }
}

/** The largest version. */
export const maxVersion: bigint = 2n ** 63n - 1n
