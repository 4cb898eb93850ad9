import { pino } from 'pino'

/** The part of a pino logger that handfast calls. Any logger with these methods will do. */
export interface Log {
  debug(fields: object, message?: string): void
  info(fields: object, message?: string): void
  warn(fields: object, message?: string): void
  error(fields: object, message?: string): void
  child(fields: object): Log
}

export interface LogOptions {
  /** Lowest level that is written. Default `info`. */
  readonly level?: 'debug' | 'info' | 'warn' | 'error' | 'silent' | undefined
  /** File descriptor or path. Default 1 (standard output). */
  readonly destination?: number | string | undefined
}

/**
 * Names under which a secret could ever be handed to a logger by mistake. Code must not log
 * them at all; this is the second fence.
 */
const secretNames = [
  'secret',
  'key',
  'passphrase',
  'password',
  'session',
  'ticket',
  'value',
  'authorization',
  'cookie',
]

/** A pino logger that writes JSON lines. */
export function createLog(options: LogOptions = {}): Log {
  return pino(
    {
      level: options.level ?? 'info',
      redact: secretNames.flatMap(name => [name, `*.${name}`]),
    },
    pino.destination({ dest: options.destination ?? 1, sync: true }),
  )
}

/** Writes nothing: the default of the library, which has no business on anyone's terminal. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
}
