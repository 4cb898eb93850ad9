import type { CommandEntry } from './command.ts'

/** In the order of the help text. A command without a summary is not for people. */
export const commands: Readonly<Record<string, CommandEntry>> = {
  proxy: {
    summary: 'serve HTTPS and pass requests on to backends',
    load: async () => (await import('./commands/proxy.ts')).proxyCommand,
  },
  repository: {
    summary: 'keep the sessions of many proxies, for all of them',
    load: async () => (await import('./commands/repository.ts')).repositoryCommand,
  },
  config: {
    summary: 'the options in force, and the JSON Schema of the config file',
    load: async () => (await import('./commands/config.ts')).configCommand,
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
  completion: {
    summary: 'what makes bash, zsh or fish complete all this',
    load: async () =>
      (await import('./commands/completion.ts')).completionCommand(commands),
  },
  backend: {
    summary: 'list backends, drain one, enable it again',
    load: async () => (await import('./commands/backend.ts')).backendCommand,
  },
  reload: {
    summary: 'have a proxy read its config and certificates again',
    load: async () => (await import('./commands/ask.ts')).reloadCommand,
  },
  drain: {
    summary: 'have a proxy finish its requests and end',
    load: async () => (await import('./commands/ask.ts')).drainCommand,
  },
  upgrade: {
    summary: 'have a proxy go on with the program as it is now',
    load: async () => (await import('./commands/ask.ts')).upgradeCommand,
  },
  worker: {
    summary: '',
    load: async () => (await import('./commands/worker.ts')).workerCommand,
  },
  'demo-part': {
    summary: '',
    load: async () => (await import('./commands/demo-part.ts')).demoPartCommand,
  },
  watchdog: {
    summary: '',
    load: async () => (await import('./commands/watchdog.ts')).watchdogCommand,
  },
}
