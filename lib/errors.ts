/**
 * Every error that handfast throws on purpose. Match on `code`, which is stable; the text is
 * for people. A miss is never an error: lookups answer `undefined`.
 */
export type ErrorCode =
  /** An option or a config file says something that can't be honoured. */
  | 'ERR_HANDFAST_CONFIG'
  /** A call that can't be: a server that can't be attached, a wrong order, a wrong argument. */
  | 'ERR_HANDFAST_USAGE'
  /** Used after `close()`. */
  | 'ERR_HANDFAST_CLOSED'
  /** Bytes from another party that do not follow their format. */
  | 'ERR_HANDFAST_PROTOCOL'
  /** The farm could not be joined. */
  | 'ERR_HANDFAST_JOIN'
  /** A database could not be asked, or refused. Nothing was changed. */
  | 'ERR_HANDFAST_DATABASE'
  /** The same, for want of room. */
  | 'ERR_HANDFAST_DATABASE_FULL'
  /** What lies in a database was made by a later release. */
  | 'ERR_HANDFAST_SCHEMA'
  /** A change may have been made or not: the answer of the database was lost. */
  | 'ERR_HANDFAST_OUTCOME_UNKNOWN'
  /** Somebody else changed the entry meanwhile; nothing was changed by this call. */
  | 'ERR_HANDFAST_CONFLICT'

export class HandfastError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'HandfastError'
    this.code = code
  }
}
