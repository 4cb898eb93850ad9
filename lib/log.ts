import { isatty } from 'node:tty'
import { pino } from 'pino'
import { LogDestination } from './log-destination.ts'
import { prettyLine } from './pretty-line.ts'

/** The part of a pino logger that handfast calls. Any logger with these methods will do. */
export interface Log {
  debug(fields: object, message?: string): void
  info(fields: object, message?: string): void
  warn(fields: object, message?: string): void
  error(fields: object, message?: string): void
  child(fields: object): Log
  /**
   * As `info`, of fields that are JSON already (`"a":1,"b":"x"`), for lines that are many. Nothing
   * in them is redacted. A logger that has no such thing is told by `info`.
   */
  infoText?(fields: string, message: string): void
}

export const logFormats = ['json', 'pretty'] as const

export type LogFormat = (typeof logFormats)[number]

export interface LogOptions {
  /** Lowest level that is written. Default `info`. */
  readonly level?: 'debug' | 'info' | 'warn' | 'error' | 'silent' | undefined
  /** File descriptor or path. Default 1 (standard output). */
  readonly destination?: number | string | undefined
  /**
   * `json`: a line of JSON for each, with milliseconds and pino's numbers of levels. `pretty`: for
   * a person, with ISO time and names of levels. Default: `pretty` on a terminal, else `json`.
   */
  readonly format?: LogFormat | undefined
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

/** A log of this process. */
export interface ProcessLog extends Log {
  /** Lines that found no reader in time. */
  dropped(): number
}

/** A pino logger that never waits for who reads it. */
export function createLog(options: LogOptions = {}): ProcessLog {
  const target = options.destination ?? 1
  const destination = new LogDestination(target, {
    onDropped: dropped =>
      log.warn({ dropped }, 'lines of this log were not read and lost'),
  })
  const terminal = typeof target === 'number' && isatty(target)
  const pretty = (options.format ?? (terminal ? 'pretty' : 'json')) === 'pretty'
  const colours = terminal && !process.env['NO_COLOR']
  const write = (line: string) =>
    destination.write(pretty ? prettyLine(line, colours) : line)
  const log: Log = pino(
    {
      level: options.level ?? 'info',
      redact: secretNames.flatMap(name => [name, `*.${name}`]),
    },
    { write },
  )
  return Object.assign(log, {
    dropped: () => destination.dropped,
    ...(bindings in log ? { infoText } : {}),
  })

  /** The line that pino would write. Also a method of the children, which inherit from it. */
  function infoText(this: pino.Logger, fields: string, message: string): void {
    if (!this.isLevelEnabled('info')) return
    const { [bindings]: bound } = this as unknown as Record<symbol, string>
    const end = `${fields},"msg":${JSON.stringify(message)}}\n`
    write(`{"level":30,"time":${Date.now()}${bound},${end}`)
  }
}

/** Under it pino keeps what is in all lines of a logger, as text: `,"pid":1,"hostname":"x"`. */
const bindings: symbol = pino.symbols.chindingsSym

/** Writes nothing: the default of the library, which has no business on anyone's terminal. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
}
