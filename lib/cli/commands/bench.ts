import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Command } from '../command.ts'
import { runToEnd } from '../run-to-end.ts'

export const benchCommand: Command = {
  help: `Usage: handfast bench [NAME] [--quick] [--json FILE]

Runs a benchmark from a checkout of the project (npm run bench does the same).
handfast bench alone lists what there is.
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
