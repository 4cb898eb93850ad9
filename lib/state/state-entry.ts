export interface StateEntry<T> {
  /** The caller's own: it may be changed. */
  readonly value: T
  /** Larger with each change; good for `ifVersion`. */
  readonly version: bigint
  /** Wall time in ms; undefined: it stays. */
  readonly expiresAt: number | undefined
  /** The database does not answer: this may not be the newest. */
  readonly stale: boolean
}

export interface StoredEntry<T> extends StateEntry<T> {
  readonly key: string
}

export interface Written {
  readonly version: bigint
  /**
   * Every member of the farm that can be reached knows of it. false: it is stored, but one did
   * not say so in time, and may show the value before it for a moment.
   */
  readonly everywhere: boolean
}

export interface GetOptions {
  /** Look in the database, whatever is cached. Default false. */
  readonly fresh?: boolean | undefined
}

export interface PutOptions {
  /** Milliseconds until it is gone. Default: the table's. */
  readonly ttl?: number | undefined
}

export interface SetOptions extends PutOptions {
  /**
   * Only where the version is this one, or, for `'absent'`, where nothing is; else it rejects with
   * ERR_HANDFAST_CONFLICT. Default: whatever is there.
   */
  readonly ifVersion?: bigint | 'absent' | undefined
}
