import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { formatAddress } from '../../address.ts'
import { createLog } from '../../log.ts'
import { logProcessFaults } from '../../serve/process-faults.ts'
import type { ServeSettings } from '../../serve/settings.ts'
import type { Command } from '../command.ts'
import { loadSettings } from '../config/load-settings.ts'
import { proxyFlags, proxyFlagsHelp, readProxyFlags } from '../config/proxy-flags.ts'

export const proxyCommand: Command = {
  flags: proxyFlags,
  help: `Usage: handfast proxy --backend URL [options]
       handfast proxy --config FILE [options]

Serves HTTPS and passes requests on. Its TLS sessions resume on every member of its farm.

${proxyFlagsHelp}
The log goes to standard output. SIGTERM and SIGINT finish open requests and exit with 0;
SIGHUP reads certificates and the config file again; SIGUSR1 opens the access log anew.
`,
  async run(args, io) {
    const flags = readProxyFlags(args)
    const load = () => loadSettings(flags, io)
    const settings = await load()
    const log = createLog({ level: settings.logLevel, format: settings.logFormat })
    logProcessFaults(log)
    for (const warning of settings.warnings) log.warn({}, warning)
    const onListening = (at: { host: string; port: number }) => {
      io.stderr.write(`${announcement(settings, at)}\n`)
    }
    const options = { settings, load, log, onListening }
    if (settings.workers === 1) {
      const { serveAlone } = await import('../../serve/serve-alone.ts')
      return await serveAlone(options)
    }
    const { serveCluster } = await import('../../serve/serve-cluster.ts')
    const main = new URL(`../main${extname(import.meta.url)}`, import.meta.url)
    const worker = { exec: fileURLToPath(main), args: ['worker'] }
    return await serveCluster({ ...options, worker })
  },
}

function announcement(
  settings: ServeSettings,
  { host, port }: { host: string; port: number },
): string {
  const everywhere = host === '::' || host === '0.0.0.0'
  const address = formatAddress({ host: everywhere ? 'localhost' : host, port })
  const { workers, sites } = settings
  const all = sites.flatMap(site => [site, ...(site.routes ?? [])])
  const urls = all.flatMap(({ backends = [] }) =>
    backends.map(one => (typeof one === 'string' ? one : one.url)),
  )
  const backends = [...new Set(urls)].join(', ')
  return (
    `handfast proxy: https://${address}${everywhere ? ' (and every other address)' : ''}` +
    ` -> ${backends}, ${workers} ${workers === 1 ? 'worker' : 'workers'}`
  )
}
