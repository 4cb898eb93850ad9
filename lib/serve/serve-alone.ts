import type { ProcessLog } from '../log.ts'
import { tellParent } from './messages.ts'
import { Reloader } from './reloader.ts'
import { startServer } from './server.ts'
import type { ServeSettings } from './settings.ts'
import { onSignals } from './signals.ts'

const statsInterval = 200

export interface ServeOptions {
  readonly settings: ServeSettings
  /** Reads the settings anew for SIGHUP. */
  readonly load: () => Promise<ServeSettings>
  readonly log: ProcessLog
  /** Called once, when clients can connect. */
  readonly onListening: (at: { host: string; port: number }) => void
}

/** Serves in this process until a signal or the end of the parent; answers the exit code. */
export async function serveAlone(options: ServeOptions): Promise<number> {
  const { settings, load, log } = options
  const server = await startServer(settings, log, log.dropped)
  const { host, port, farmAddress } = server
  const reloader = new Reloader({
    settings,
    load,
    log,
    apply: fresh => server.reload(fresh),
  })
  const report = setInterval(
    () => tellParent({ type: 'stats', stats: server.stats() }),
    statsInterval,
  )
  report.unref()
  const exitCode = new Promise<number>((resolve, reject) => {
    const stopListening = onSignals({
      drain(signal) {
        log.info({ signal }, 'draining')
        server.drain().then(() => end(0), fail)
      },
      abort: () => server.close().then(() => end(1), fail),
      reload: () => void reloader.request(),
    })
    // Whoever started this process with a channel and is gone wants it gone too.
    const orphaned = () => server.close().then(() => end(0), fail)
    process.once('disconnect', orphaned)
    const stop = () => {
      clearInterval(report)
      stopListening()
      process.off('disconnect', orphaned)
      tellParent({ type: 'stats', stats: server.stats() })
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
