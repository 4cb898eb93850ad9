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

/** In the order of the help text. A command without a summary is not for people. */
export const commands: Readonly<Record<string, CommandEntry>> = {
  proxy: {
    summary: 'serve HTTPS and pass requests on to backends',
    load: async () => (await import('./commands/proxy.ts')).proxyCommand,
  },
  demo: {
    summary: 'three proxies on this machine, and what resumes across them',
    load: async () => (await import('./commands/demo.ts')).demoCommand,
  },
  certs: {
    summary: 'make a self-signed certificate',
    load: async () => (await import('./commands/certs.ts')).certsCommand,
  },
  secret: {
    summary: 'print a new farm secret',
    load: async () => (await import('./commands/secret.ts')).secretCommand,
  },
  bench: {
    summary: 'measure full against resumed handshakes',
    load: async () => (await import('./commands/bench.ts')).benchCommand,
  },
  doctor: {
    summary: 'prove what resumes across any TLS addresses',
    load: async () => (await import('./commands/doctor.ts')).doctorCommand,
  },
  status: {
    summary: 'what a member knows: members, handshakes, table',
    load: async () => (await import('./commands/status.ts')).statusCommand,
  },
  revoke: {
    summary: 'end sessions and log-ins on every member',
    load: async () => (await import('./commands/revoke.ts')).revokeCommand,
  },
  worker: {
    summary: '',
    load: async () => (await import('./commands/worker.ts')).workerCommand,
  },
}
