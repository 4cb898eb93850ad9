import type { FlagTable } from './flags.ts'

/** The world around a command, so that a test can stand in for it. */
export interface Io {
  readonly stdout: Output
  readonly stderr: Output
  readonly env: Readonly<Record<string, string | undefined>>
  /** Directory that relative paths on the command line start from. */
  readonly cwd: string
}

export interface Output {
  write(text: string): unknown
  /** True on a terminal: only there may a line be redrawn or coloured. */
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

/** What `handfast NAME ...` does. Its module is loaded only when it is called. */
export interface Command {
  readonly flags: FlagTable
  /** Words that its first argument may be; a shell offers them. */
  readonly words?: readonly string[]
  /** Printed by `handfast NAME --help`. Ends with a newline. */
  readonly help: string
  /**
   * Runs to its end and answers the exit code. A bad flag or config file is thrown as a
   * HandfastError with ERR_HANDFAST_CONFIG, which becomes one line and exit code 2.
   */
  run(args: readonly string[], io: Io): Promise<number>
}

export interface CommandEntry {
  readonly summary: string
  load(): Promise<Command>
}
