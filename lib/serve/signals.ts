import type { AskedWord } from '../admin/admin.ts'

export interface SignalHandlers {
  /** First SIGTERM or SIGINT: finish what is under way, then go. */
  drain(signal: NodeJS.Signals): void
  /** The second: go now. */
  abort(): void
  /** SIGHUP. */
  reload(): void
  /** SIGUSR1: files of logs have been moved. */
  reopenLogs(): void
}

/** Hears the signals of a serving process until the answered function is called. */
export function onSignals(handlers: SignalHandlers): () => void {
  let asked = false
  const end = (signal: NodeJS.Signals) => {
    if (asked) return handlers.abort()
    asked = true
    handlers.drain(signal)
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  process.on('SIGHUP', handlers.reload)
  process.on('SIGUSR1', handlers.reopenLogs)
  return () => {
    process.off('SIGTERM', end)
    process.off('SIGINT', end)
    process.off('SIGHUP', handlers.reload)
    process.off('SIGUSR1', handlers.reopenLogs)
  }
}

/** Does what the signal would that says the same. */
export function signalFor(word: AskedWord): void {
  const signal = word === 'reload' ? 'SIGHUP' : 'SIGTERM'
  process.emit(signal, signal)
}
