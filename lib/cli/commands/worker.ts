import cluster from 'node:cluster'
import type { Command } from '../command.ts'
import { badFlag } from '../flags.ts'

/** What the primary of `handfast proxy --workers N` starts. */
export const workerCommand: Command = {
  flags: {},
  help: 'Usage: handfast proxy --workers N (which starts its workers itself)\n',
  async run() {
    if (!cluster.isWorker) throw badFlag('only handfast proxy starts workers')
    const { serveWorker } = await import('../../serve/cluster/serve-worker.ts')
    return await serveWorker()
  },
}
