import type { Command } from '../command.ts'
import { badFlag } from '../flags.ts'

/** What `handfast proxy` starts beside it where other hosts can take over from this one. */
export const watchdogCommand: Command = {
  flags: {},
  help: 'Usage: handfast proxy --config FILE (which starts its watchdog itself)\n',
  async run() {
    if (process.send === undefined) throw badFlag('only handfast proxy starts it')
    const { serveWatchdog } = await import('../../serve/process/watchdog.ts')
    return await serveWatchdog()
  },
}
