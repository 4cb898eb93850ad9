import { HandfastError } from '../../lib/errors.ts'

/** SQLSTATE of disk_full. */
const diskFull = '53100'
/** What PgBouncer says of `statement_timeout`, which a connection of its own would be given. */
const poolerRefusal = /unsupported startup parameter/

/** Nothing was changed. */
export function undone(error: unknown): HandfastError {
  return (error as { code?: string }).code === diskFull
    ? new HandfastError(
        'ERR_HANDFAST_DATABASE_FULL',
        'PostgreSQL has no room on its disk',
      )
    : unavailable(messageOf(error))
}

/** Nobody knows whether something was changed. */
export function unknown(error: unknown): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_OUTCOME_UNKNOWN',
    `PostgreSQL gave no answer: ${messageOf(error)}`,
  )
}

export function unavailable(why: string): HandfastError {
  const advice = poolerRefusal.test(why)
    ? '; behind a pooler it needs transactionPooling: true'
    : ''
  return new HandfastError('ERR_HANDFAST_DATABASE', `PostgreSQL: ${why}${advice}`)
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
