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

export class HandfastError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'HandfastError'
    this.code = code
  }
}
