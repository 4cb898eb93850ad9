import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Command } from '../command.ts'
import { flagLines } from '../flags.ts'
import { runToEnd } from '../run-to-end.ts'

const flags = {
  quick: { about: 'less to measure, in a minute' },
  json: { value: 'FILE', about: 'the figures for programs' },
  html: { value: 'FILE', about: 'a report to look at' },
} as const

export const benchCommand: Command = {
  flags,
  help: `Usage: handfast bench [NAME] [options]

Runs a benchmark from a checkout of the project (npm run bench does the same).
handfast bench alone lists what there is.

${flagLines(flags)}
`,
  async run(args, io) {
    const script = benchScript()
    if (script === undefined) {
      io.stderr.write(
        'handfast bench: the benchmarks are not part of the installed package; ' +
          'run them from a checkout: npm ci && npm run bench\n',
      )
      return 1
    }
    return await runToEnd(process.execPath, [script, ...args])
  },
}

/** Built, it lies beside dist/lib; the package leaves it out. */
function benchScript(): string | undefined {
  return ['../../../bench/main.js', '../../../dist/bench/main.js']
    .map(path => fileURLToPath(new URL(path, import.meta.url)))
    .find(existsSync)
}
