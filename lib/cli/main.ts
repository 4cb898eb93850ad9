#!/usr/bin/env node
import { readFileSync, realpathSync } from 'node:fs'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import { HandfastError } from '../errors.ts'
import type { Io } from './command.ts'
import { commands } from './commands.ts'

/** Runs one command line and answers the exit code: 0 done, 1 failed, 2 bad flag or config. */
export async function main(args: readonly string[], io: Io): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined) {
    io.stderr.write(help())
    return 2
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    const entry = commands[rest[0] ?? '']
    io.stdout.write(entry === undefined ? help() : (await entry.load()).help)
    return 0
  }
  if (name === '--version' || name === '-v') {
    io.stdout.write(`${version()}\n`)
    return 0
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (entry === undefined) {
    const kind = name.startsWith('-') ? 'option' : 'command'
    io.stderr.write(`handfast: unknown ${kind} '${name}'; see handfast --help\n`)
    return 2
  }
  try {
    const command = await entry.load()
    if (rest.includes('--help') || rest.includes('-h')) {
      io.stdout.write(command.help)
      return 0
    }
    return await command.run(rest, io)
  } catch (error) {
    return report(error, name, io)
  }
}

function report(error: unknown, name: string, io: Io): number {
  const text = error instanceof Error ? error.message : String(error)
  io.stderr.write(`handfast ${name}: ${text}\n`)
  return error instanceof HandfastError && error.code === 'ERR_HANDFAST_CONFIG' ? 2 : 1
}

function help(): string {
  const rows = Object.entries(commands)
    .filter(([, entry]) => entry.summary !== '')
    .map(([name, entry]) => `  ${name.padEnd(10)} ${entry.summary}\n`)
  return `handfast: TLS sessions that resume on any proxy of the farm

Usage: handfast COMMAND [options]

${rows.join('')}
handfast COMMAND --help lists the options of a command, handfast --version the version.
`
}

/** From the nearest package.json upwards: the file is two or three folders away. */
function version(): string {
  for (const up of ['../../', '../../../']) {
    try {
      const text = readFileSync(new URL(`${up}package.json`, import.meta.url), 'utf8')
      return (JSON.parse(text) as { version: string }).version
    } catch {
      // Not there: one folder further up, as when this runs from dist/.
    }
  }
  return 'unknown'
}

function isEntryPoint(): boolean {
  const script = process.argv[1]
  if (script === undefined) return false
  try {
    return realpathSync(script) === fileURLToPath(import.meta.url)
  } catch {
    return false
  }
}

/** What a shell answers for a program that SIGPIPE ended, which Node turns into EPIPE. */
const brokenPipe = 128 + constants.signals.SIGPIPE

/**
 * A reader that has seen enough, as `head`, ends a command whose output it was; who closes
 * standard error ends nothing.
 */
function onBrokenPipe(): void {
  process.stdout.on('error', () => process.exit(brokenPipe))
  process.stderr.on('error', () => {})
}

/**
 * The environment, and no longer in it the farm secret and the password of Redis, which no
 * process that is started from here has a use for.
 */
function takeEnvironment(): Io['env'] {
  const env = { ...process.env }
  delete process.env['HANDFAST_SECRET']
  delete process.env['HANDFAST_REDIS_PASSWORD']
  return env
}

if (isEntryPoint()) {
  // Node would open its inspector, which reads all memory, to whoever can reach the port.
  process.on('SIGUSR1', () => {})
  onBrokenPipe()
  process.exitCode = await main(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    env: takeEnvironment(),
    cwd: process.cwd(),
  })
  // A handle that was forgotten must not keep a process that has said it is done.
  setTimeout(() => process.exit(), 2_000).unref()
}
