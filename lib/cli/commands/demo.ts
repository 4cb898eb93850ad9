import type { Command } from '../command.ts'
import { flagLines, parseFlags } from '../flags.ts'
import { wholeNumber } from '../schema/kinds.ts'

const flags = {
  once: {
    about: 'exit after the table: 0 when every cell that should resume did, else 1',
  },
  takeover: {
    about:
      'instead: a download that goes on while its processes are killed, and its host',
  },
  port: {
    value: 'N',
    kind: wholeNumber(1, 65_535),
    about: 'first port; the next free ones are taken (default 8443)',
  },
} as const

export const demoCommand: Command = {
  flags,
  help: `Usage: handfast demo [options]

Starts three proxies on this machine, each a process and a farm member of its own, shows what
resumes where, kills one, and stays up to be tried out.

With --takeover it shows one download whose processes are killed, then one whose host is cut off and
killed (Linux, with the package koffi), and ends by itself: 0 when all bytes came.

${flagLines(flags)}
`,
  async run(args, io) {
    const { port = 8443, once = false, takeover } = parseFlags('demo', args, flags)
    if (takeover === true) {
      const { runTakeoverDemo } = await import('../demo/takeover/run-takeover.ts')
      return await runTakeoverDemo({ firstPort: port }, io)
    }
    const { runDemo } = await import('../demo/run-demo.ts')
    return await runDemo({ firstPort: port, once }, io)
  },
}
