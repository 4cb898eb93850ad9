import { logSection } from '../admin/section/log.ts'
import type { LogOptions, ProcessLog } from '../log.ts'
import { createFarm } from '../member/create-farm.ts'
import { farmOptionsOf } from './farm-options.ts'
import { tellParent } from './messages.ts'
import { Readiness } from './process/readiness.ts'
import { Signals } from './process/signals.ts'
import type { AdminSettings, FarmSettings } from './settings.ts'

/** What `handfast repository` runs from. */
export interface RepositorySettings {
  readonly farm: FarmSettings & { readonly memberId?: string | undefined }
  readonly admin?: AdminSettings | undefined
  readonly logLevel: NonNullable<LogOptions['level']>
  readonly logFormat?: LogOptions['format']
  readonly warnings: readonly string[]
}

export interface RepositoryOptions {
  readonly settings: RepositorySettings
  readonly log: ProcessLog
  /** Called once, when it has what the farm has: its address for the other members. */
  readonly onListening: (address: string) => void
}

/**
 * A member of the farm that serves no clients and keeps what the others write. Runs until a
 * signal or the end of its parent; answers the exit code.
 */
export async function serveRepository(options: RepositoryOptions): Promise<number> {
  const { settings, log, onListening } = options
  const readiness = new Readiness('starting')
  const signals = new Signals()
  const { listen = { port: 0 } } = settings.farm
  const farm = await createFarm({
    ...farmOptionsOf(settings, log),
    repository: true,
    host: false,
  })
  farm.sections.add(logSection(log.dropped))
  try {
    if (settings.admin !== undefined) {
      const { names, ...at } = settings.admin
      const notReady = () => readiness.notReady
      const onAsked = (word: Parameters<Signals['ask']>[0]) => signals.ask(word)
      await farm.admin({ listen: at, names, notReady, onAsked })
    }
  } catch (error) {
    await farm.close()
    throw error
  }
  readiness.set(undefined)
  const address = farm.address ?? ''
  const exitCode = new Promise<number>((resolve, reject) => {
    const close = (code: number) => {
      stopListening()
      process.off('disconnect', orphaned)
      farm.close().then(() => resolve(code), reject)
    }
    const orphaned = () => close(0)
    const stopListening = signals.listen({
      drain(signal) {
        log.info({ signal }, 'this repository leaves the farm')
        readiness.set('draining')
        close(0)
      },
      abort: () => process.exit(1),
      reload: () => log.info({}, 'a repository has nothing to read again'),
      upgrade: () => log.info({}, 'a repository is started anew for another release'),
      reopenLogs() {},
    })
    // Whoever started this process with a channel and is gone wants it gone too.
    process.once('disconnect', orphaned)
  })
  onListening(address)
  const { host = '', port } = listen
  tellParent({ type: 'listening', host, port, farmAddress: address })
  return await exitCode
}
