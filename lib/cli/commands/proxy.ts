import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { formatAddress } from '../../address.ts'
import { createLog } from '../../log.ts'
import { logProcessFaults } from '../../serve/process-faults.ts'
import type { ServeSettings } from '../../serve/settings.ts'
import type { Command } from '../command.ts'
import { loadSettings } from '../config/load-settings.ts'
import { readProxyFlags } from '../config/proxy-flags.ts'

export const proxyCommand: Command = {
  help: `Usage: handfast proxy --backend URL [options]
       handfast proxy --config FILE [options]

Serves HTTPS and passes requests on. Its TLS sessions resume on every member of its farm.

  --listen [HOST:]PORT       where clients connect (default 8443)
  --backend URL              http://HOST:PORT or https://HOST:PORT, repeatable
  --cert FILE --key FILE     PEM (default certs/localhost.crt and .key, made when missing)
  --client-ca FILE           ask clients for a certificate of these authorities, refuse others
  --backend-ca FILE          authorities of https backends (default those of Node)
  --resumption MODE          auto (default), stateful (sessions in the farm's table only),
                             sealed (TLS 1.3 by tickets, with client certificates, too) or off
  --trusted-proxy ADDRESS    IP address or subnet of a proxy in front, whose X-Forwarded-* is
                             believed, repeatable
  --proxy-protocol ADDRESS   IP address or subnet of a balancer that speaks the PROXY protocol
                             (version 1 or 2), repeatable
  --config FILE              YAML; for more than one site, limits and the rest; see docs/proxy.md

Farm:
  --member HOST[:PORT]       another member's farm port (default 7443), repeatable
  --farm-listen [HOST:]PORT  this one's farm port (7443 when there are members)
  --farm-advertise HOST      host under which other members reach this one
  --transport KIND           how records travel: stream (default), or datagrams: auto,
                             multicast or unicast; stream on all members or on none
  --farm-name NAME           members of other names are refused (default handfast)
  --secret-file FILE         the farm's secret, or environment variable HANDFAST_SECRET

Process:
  --admin [HOST:]PORT        status, metrics and revocation over HTTP (default nowhere; HOST
                             127.0.0.1), of all workers
  --workers N                processes, together one member (default one for each core)
  --log-level LEVEL          debug, info, warn, error or silent (default info)

Logs go to standard output as JSON lines. SIGTERM and SIGINT finish open requests and exit
with 0; SIGHUP reads certificates and the config file again.
`,
  async run(args, io) {
    const flags = readProxyFlags(args)
    const load = () => loadSettings(flags, io)
    const settings = await load()
    const log = createLog({ level: settings.logLevel })
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
