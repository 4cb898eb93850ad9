import type { Command } from '../command.ts'
import { badFlag } from '../flags.ts'

/** What `handfast demo --takeover` starts in networks of its own. */
export const demoPartCommand: Command = {
  flags: {},
  help: 'Usage: handfast demo --takeover (which starts its parts itself)\n',
  async run([part]) {
    const isPart = part === 'client' || part === 'hosts'
    if (!isPart || process.send === undefined) {
      throw badFlag('only handfast demo starts its parts')
    }
    if (part === 'client')
      await (await import('../demo/takeover/demo-client.ts')).runClient()
    else await (await import('../demo/takeover/demo-hosts.ts')).runHosts()
    return 0
  },
}
