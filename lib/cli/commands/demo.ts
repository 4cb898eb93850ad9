import { shown } from '../../shown.ts'
import type { Command } from '../command.ts'
import { badFlag, parseFlags } from '../flags.ts'
import { isWhole } from '../quantity.ts'

export const demoCommand: Command = {
  help: `Usage: handfast demo [options]

Starts three proxies on this machine, each a process and a farm member of its own, shows what
resumes where, kills one, and stays up to be tried out.

  --once      exit after the table: 0 when every cell that should resume did, else 1
  --port N    first port; the next free ones are taken (default 8443)
`,
  async run(args, io) {
    const flags = parseFlags('demo', args, {
      once: { type: 'boolean' },
      port: { type: 'string' },
    })
    const port = Number(flags.port ?? 8443)
    if (!isWhole(port) || port < 1 || port > 65_535) {
      throw badFlag(
        `--port: expected a whole number from 1 to 65535, got ${shown(flags.port)}`,
      )
    }
    const { runDemo } = await import('../demo/run-demo.ts')
    return await runDemo({ firstPort: port, once: flags.once === true }, io)
  },
}
