import { HandfastError } from '../errors.ts'
import { createLog } from '../log.ts'
import { type ToWorker, tellParent } from './messages.ts'
import { logProcessFaults } from './process-faults.ts'
import { Readiness } from './readiness.ts'
import { type Server, startServer } from './server.ts'
import type { ServeSettings } from './settings.ts'

/**
 * A worker of `handfast proxy`: does what the primary says. Signals from the terminal reach
 * it too, but it is the primary who decides.
 */
export async function serveWorker(): Promise<number> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, ignore)
  const orders = new Orders()
  tellParent({ type: 'hello' })
  const { settings, slot } = await orders.start
  const written = createLog({ level: settings.logLevel, format: settings.logFormat })
  const log = written.child({ worker: slot })
  logProcessFaults(log)
  let server: Server
  try {
    server = await startServer(settings, log, written.dropped, orders.readiness, word => {
      tellParent({ type: 'asked', word })
      return true
    })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const badConfig =
      error instanceof HandfastError && error.code === 'ERR_HANDFAST_CONFIG'
    const exitCode = badConfig ? 2 : 1
    tellParent({ type: 'failed', message, exitCode })
    return exitCode
  }
  orders.onReload(fresh => {
    try {
      server.reload(fresh)
    } catch (error) {
      log.error({ reason: String(error) }, 'reload refused: the old config stays')
    }
  })
  orders.onReopenLogs(() => server.reopenLogs())
  const { host, port, farmAddress } = server
  tellParent({ type: 'listening', host, port, farmAddress })
  await orders.drain
  await server.drain()
  process.disconnect?.()
  return 0
}

/** What the primary says, kept until someone wants to know: it may speak before we serve. */
class Orders {
  readonly start: Promise<Extract<ToWorker, { type: 'start' }>>
  readonly drain: Promise<void>
  readonly readiness: Readiness = new Readiness('starting')
  #reopenLogs: () => void = ignore
  #fresh: ServeSettings | undefined
  #reload: ((settings: ServeSettings) => void) | undefined

  constructor() {
    let started: (message: Extract<ToWorker, { type: 'start' }>) => void = ignore
    let drained: () => void = ignore
    this.start = new Promise(resolve => {
      started = resolve
    })
    this.drain = new Promise(resolve => {
      drained = resolve
    })
    process.on('message', (message: ToWorker) => {
      if (message.type === 'start' || message.type === 'readiness') {
        this.readiness.set(message.notReady)
      }
      if (message.type === 'start') started(message)
      if (message.type === 'drain') drained()
      if (message.type === 'reopen-logs') this.#reopenLogs()
      if (message.type !== 'reload') return
      this.#fresh = message.settings
      this.#reload?.(message.settings)
    })
  }

  /** Before it is called the files are not open yet, or only just. */
  onReopenLogs(reopen: () => void): void {
    this.#reopenLogs = reopen
  }

  onReload(reload: (settings: ServeSettings) => void): void {
    this.#reload = reload
    if (this.#fresh !== undefined) reload(this.#fresh)
  }
}

function ignore(): void {}
