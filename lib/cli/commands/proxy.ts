import { realpathSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createLog, silentLog } from '../../log.ts'
import { checkFarmOptions } from '../../member/options.ts'
import { farmOptionsOf } from '../../serve/farm-options.ts'
import { logProcessFaults } from '../../serve/process/process-faults.ts'
import type { ServeSettings } from '../../serve/settings.ts'
import { guardianState } from '../../takeover/guardian/guardian-state.ts'
import { announcement } from '../announcement.ts'
import type { Command, Io } from '../command.ts'
import { loadSettings } from '../config/load-settings.ts'
import { proxyFlags, proxyFlagsHelp, readProxyFlags } from '../proxy-flags.ts'

export const proxyCommand: Command = {
  flags: proxyFlags,
  help: `Usage: handfast proxy --backend URL [options]
       handfast proxy --config FILE [options]

Serves HTTPS and passes requests on. Its TLS sessions resume on every member of its farm.

${proxyFlagsHelp}
The log goes to standard output. SIGTERM and SIGINT finish open requests and exit with 0;
SIGHUP reads certificates and the config file again; SIGUSR1 opens the access log anew; SIGUSR2
replaces the workers by new ones of the program as it is now.
`,
  async run(args, io) {
    // Node's own answer is the end: one that comes before all is up is heard then.
    let reloadAsked = false
    const onEarly = () => {
      reloadAsked = true
    }
    process.on('SIGHUP', onEarly)
    try {
      return await run(args, io, () => {
        process.off('SIGHUP', onEarly)
        if (reloadAsked) process.emit('SIGHUP', 'SIGHUP')
      })
    } finally {
      process.off('SIGHUP', onEarly)
    }
  },
}

async function run(args: readonly string[], io: Io, onUp: () => void): Promise<number> {
  const flags = readProxyFlags(args)
  const load = () => loadSettings(flags, io)
  const settings = await load()
  if (flags.check) return await told(settings, flags.config, io)
  const log = createLog({ level: settings.logLevel, format: settings.logFormat })
  logProcessFaults(log)
  for (const warning of settings.warnings) log.warn({}, warning)
  const onListening = (at: { host: string; port: number }) => {
    io.stderr.write(`${announcement(settings, at)}\n`)
    onUp()
  }
  const guardian = await guardianState(settings.guardian?.enabled === true)
  if (guardian !== 'on' && guardian !== 'off') {
    log.warn(
      { reason: guardian },
      'there is no guardian: connections end with their worker',
    )
  }
  const options = { settings, load, log, onListening, guardian }
  const main = new URL(`../main${extname(import.meta.url)}`, import.meta.url)
  const exec = programAt(fileURLToPath(main))
  if (settings.workers === 1 && guardian !== 'on') {
    const { serveAlone } = await import('../../serve/serve-alone.ts')
    return await serveAlone({ ...options, watchdog: { exec, args: ['watchdog'] } })
  }
  const { serveCluster } = await import('../../serve/cluster/serve-cluster.ts')
  return await serveCluster({ ...options, worker: { exec, args: ['worker'] } })
}

/** As it was called, if it was: a link to the release that is installed may point to the next. */
function programAt(main: string): string {
  const called = process.argv[1]
  try {
    return called !== undefined && realpathSync(called) === main ? called : main
  } catch {
    return main
  }
}

/** The answer of `--check` for a config without mistakes. */
async function told(
  settings: ServeSettings,
  file: string | undefined,
  io: Io,
): Promise<number> {
  checkFarmOptions(farmOptionsOf(settings, silentLog))
  const { checkSites } = await import('../../proxy/check-sites.ts')
  checkSites(settings.sites, settings.limits)
  for (const warning of settings.warnings) {
    io.stderr.write(`handfast proxy: warning: ${warning}\n`)
  }
  const { length } = settings.sites
  io.stdout.write(
    `${file ?? 'flags'}: ok, ${length} ${length === 1 ? 'site' : 'sites'}\n`,
  )
  return 0
}
