import type { AskedWord } from '../admin/admin.ts'
import type { ProcessLog } from '../log.ts'
import { resolveLimits } from '../proxy/limits.ts'
import type { GuardianState } from '../takeover/guardian/guardian-state.ts'
import { tellParent } from './messages.ts'
import { Readiness } from './process/readiness.ts'
import { Signals } from './process/signals.ts'
import type { WatchdogProgram } from './process/watchdog.ts'
import { Reloader } from './reloader.ts'
import { startServer } from './server.ts'
import type { ServeSettings } from './settings.ts'

const statsInterval = 200

export interface ServeOptions {
  readonly settings: ServeSettings
  /** Reads the settings anew for SIGHUP. */
  readonly load: () => Promise<ServeSettings>
  readonly log: ProcessLog
  /** Called once, when clients can connect. */
  readonly onListening: (at: { host: string; port: number }) => void
  /** Whether there is to be a guardian, as far as that can be. */
  readonly guardian: GuardianState
}

export interface AloneOptions extends ServeOptions {
  /** What holds connections when this process is killed, where other hosts go on with them. */
  readonly watchdog: WatchdogProgram
}

/** Serves in this process until a signal or the end of the parent; answers the exit code. */
export async function serveAlone(options: AloneOptions): Promise<number> {
  const { settings, load, log, guardian, watchdog } = options
  const readiness = new Readiness('starting')
  const signals = new Signals()
  const onAsked = (word: AskedWord) => signals.ask(word)
  const server = await startServer(settings, log, log.dropped, readiness, onAsked, {
    state: guardian,
    watchdog,
  })
  readiness.set(undefined)
  const { host, port, farmAddress } = server
  const reloader = new Reloader({
    settings,
    load,
    log,
    apply: fresh => server.reload(fresh),
  })
  // They are a sum of all sections: without a parent nobody is to pay for it.
  const tellStats = () => {
    if (process.connected) tellParent({ type: 'stats', stats: server.stats() })
  }
  const report = setInterval(tellStats, statsInterval)
  report.unref()
  let delayed: NodeJS.Timeout | undefined
  const exitCode = new Promise<number>((resolve, reject) => {
    const stopListening = signals.listen({
      drain(signal, moves) {
        const { shutdownDelay, drainTimeout } = resolveLimits(reloader.settings.limits)
        log.info({ signal, shutdownDelay, moves }, 'draining')
        readiness.set('draining')
        const leave = async () => {
          if (moves) await server.move(drainTimeout)
          await server.drain()
        }
        delayed = setTimeout(() => leave().then(() => end(0), fail), shutdownDelay)
      },
      abort: () => server.close().then(() => end(1), fail),
      reload: () => void reloader.request(),
      reopenLogs: () => server.reopenLogs(),
      upgrade: () => log.error({}, 'one process can not be upgraded while it serves'),
    })
    // Whoever started this process with a channel and is gone wants it gone too.
    const orphaned = () => server.close().then(() => end(0), fail)
    process.once('disconnect', orphaned)
    const stop = () => {
      clearInterval(report)
      clearTimeout(delayed)
      stopListening()
      process.off('disconnect', orphaned)
      tellStats()
    }
    const end = (code: number) => {
      stop()
      resolve(code)
    }
    const fail = (error: unknown) => {
      stop()
      reject(error)
    }
  })
  options.onListening({ host, port })
  tellParent({ type: 'listening', host, port, farmAddress })
  return await exitCode
}
