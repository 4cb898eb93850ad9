import { basename } from 'node:path'
import type { Command, Io } from '../command.ts'
import { type EffectiveOption, effectiveOptions } from '../config/effective.ts'
import { loadSettings, readConfigFile } from '../config/load-settings.ts'
import { badFlag, flagLines, parseFlags } from '../flags.ts'
import { flagTexts, proxyFlags, readProxyFlags } from '../proxy-flags.ts'
import { configJsonSchema } from '../schema/schema.ts'

const words = ['show', 'schema'] as const
const own = { json: { about: 'the same for programs' } } as const

export const configCommand: Command = {
  flags: { ...proxyFlags, ...own },
  words,
  help: `Usage: handfast config show --config FILE [options of handfast proxy]
       handfast config schema

show prints each option that handfast proxy would run with, and who says so: the file and the
line, a flag, or nobody (default). Secrets are hidden. A mistake is told as handfast proxy tells it.

${flagLines(own)}

schema prints the JSON Schema of the config file. The package has it as a file, too; an editor
with a language server for YAML completes and checks by it when the file begins with

  # yaml-language-server: $schema=node_modules/handfast/dist/handfast.schema.json
`,
  async run([what, ...args], io) {
    switch (what) {
      case 'schema':
        parseFlags('config', args, {})
        io.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
        return 0
      case 'show':
        return await show(args, io)
      default:
        throw badFlag(`expected ${words.join(' or ')}; see handfast config --help`)
    }
  },
}

async function show(args: readonly string[], io: Io): Promise<number> {
  const json = args.includes('--json')
  const rest = args.filter(argument => argument !== '--json')
  const flags = readProxyFlags(rest)
  await loadSettings(flags, io)
  const file = flags.config === undefined ? undefined : await readConfigFile(flags, io)
  const name = basename(flags.config ?? '')
  const options = effectiveOptions({
    content: file?.content ?? {},
    placeOf: path => `${name}:${file?.lineOf(path) ?? 1}`,
    flags: flagTexts(rest),
  })
  const secret = io.env['HANDFAST_SECRET']
  const bySecret = options.some(
    ({ path, source }) => /^farm\.secret/.test(path) && source !== 'default',
  )
  const all: EffectiveOption[] = [
    ...options,
    ...(secret && !bySecret
      ? [{ path: 'farm.secret', value: '(hidden)', source: 'HANDFAST_SECRET' }]
      : []),
  ]
  io.stdout.write(json ? `${JSON.stringify(all, null, 2)}\n` : table(all))
  return 0
}

/** `listen = 443    # handfast.yaml:1`, so that the values can be found, and compared. */
function table(options: readonly EffectiveOption[]): string {
  const lines = options.map(({ path, value }) => `${path} = ${value}`)
  const width = Math.min(60, Math.max(...lines.map(line => line.length)))
  return options
    .map(({ source }, index) => `${(lines[index] ?? '').padEnd(width)}  # ${source}\n`)
    .join('')
}
