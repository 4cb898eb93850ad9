import type { Log } from '../../log.ts'

/**
 * Sends to the log what Node itself would write to standard error, which it does with a write
 * that waits: warnings, and the error that ends the process. Whoever reads neither must not
 * hold up what is served, nor keep a worker that is dying from making room for the next.
 */
export function logProcessFaults(log: Log): void {
  process.removeAllListeners('warning')
  process.on('warning', ({ name, message }) => log.warn({ name }, message))
  process.once('uncaughtException', (error: unknown) => {
    const { stack = String(error), code } = error as NodeJS.ErrnoException
    log.error({ stack, code }, 'a fault of the program: this process ends')
    process.exit(1)
  })
}
