import { HandfastError } from '../../lib/errors.ts'
import { RefusedByDatabase } from '../../lib/state/database.ts'

/** SQLSTATE of disk_full. */
const diskFull = '53100'
/** Classes of SQLSTATE that say that nobody fares better: no connection, no resources, an end. */
const troubles = /^(08|53|57P|58)/
/** Who we are, the password, the database and what we may do there: no time mends these. */
const refusals: ReadonlySet<unknown> = new Set(['28000', '28P01', '3D000', '42501'])
/** What PgBouncer says of `statement_timeout`, which a connection of its own would be given. */
const poolerRefusal = /unsupported startup parameter/

/** Nothing was changed. */
export function undone(error: unknown): HandfastError {
  const { code } = error as { code?: string }
  return code === diskFull
    ? new HandfastError(
        'ERR_HANDFAST_DATABASE_FULL',
        'PostgreSQL has no room on its disk',
      )
    : unavailable(messageOf(error), code)
}

/** Nothing was changed, and the connection goes on. `error`: has a SQLSTATE. */
export function refused(error: unknown): HandfastError {
  const fault = undone(error)
  const { message, cause } = fault
  const isAlone = fault.code === 'ERR_HANDFAST_DATABASE' && !troubles.test(String(cause))
  return isAlone ? new RefusedByDatabase(message, { cause }) : fault
}

/**
 * The same at the start: what no time mends is a fault of the options, and of what is made there
 * nobody needs to know whether it was, for it is made once only.
 */
export function notOpened(error: unknown): unknown {
  if (!(error instanceof HandfastError)) return error
  const { cause, code, message } = error
  if (refusals.has(cause)) return new HandfastError('ERR_HANDFAST_CONFIG', message)
  return code === 'ERR_HANDFAST_OUTCOME_UNKNOWN'
    ? new HandfastError('ERR_HANDFAST_DATABASE', message)
    : error
}

/** Nobody knows whether something was changed. */
export function unknown(error: unknown): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_OUTCOME_UNKNOWN',
    `PostgreSQL gave no answer: ${messageOf(error)}`,
  )
}

/** `code`: SQLSTATE, or Node's. */
export function unavailable(why: string, code?: string): HandfastError {
  const advice = poolerRefusal.test(why)
    ? '; behind a pooler it needs transactionPooling: true'
    : ''
  const message = `PostgreSQL: ${why}${advice}`
  return new HandfastError('ERR_HANDFAST_DATABASE', message, { cause: code })
}

/**
 * No more than this of an error: its details may have keys and values, and its cause the
 * password.
 */
export function messageOf(error: unknown): string {
  const { message, code } = error as { message?: string; code?: string }
  const text = message === undefined || message === '' ? 'no connection' : message
  return code === undefined ? text : `${text} (${code})`
}
