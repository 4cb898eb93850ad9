import type { AskedWord } from '../../admin/admin.ts'

export interface SignalHandlers {
  /**
   * Finish what is under way, then go. Called once. `why`: the signal, or `asked`. `moves`: what
   * another host can go on with goes there first.
   */
  drain(why: string, moves: boolean): void
  /** The second SIGTERM or SIGINT: go now. */
  abort(): void
  /** SIGHUP. */
  reload(): void
  /** SIGUSR2: other processes, of the program as it is now, are to take the place of those that serve. */
  upgrade(): void
  /** SIGUSR1: files of logs have been moved. */
  reopenLogs(): void
}

/** What a serving process is told from outside: by signals, and over its admin port. */
export class Signals {
  #handlers: SignalHandlers | undefined
  #draining = false
  #ended = false

  /** Hears the signals until the answered function is called. */
  listen(handlers: SignalHandlers): () => void {
    this.#handlers = handlers
    const end = (signal: NodeJS.Signals) => {
      if (this.#ended) return handlers.abort()
      this.#ended = true
      this.#drain(signal)
    }
    process.on('SIGTERM', end)
    process.on('SIGINT', end)
    process.on('SIGHUP', handlers.reload)
    process.on('SIGUSR1', handlers.reopenLogs)
    process.on('SIGUSR2', handlers.upgrade)
    return () => {
      process.off('SIGTERM', end)
      process.off('SIGINT', end)
      process.off('SIGHUP', handlers.reload)
      process.off('SIGUSR1', handlers.reopenLogs)
      process.off('SIGUSR2', handlers.upgrade)
    }
  }

  /**
   * False while nobody listens yet. Who is asked to drain twice, or is sent one SIGTERM after it
   * as Kubernetes does after preStop, still finishes what is under way: an order that is repeated
   * is not a person who has no patience.
   */
  ask(word: AskedWord): boolean {
    if (this.#handlers === undefined) return false
    if (word === 'reload') this.#handlers.reload()
    else if (word === 'upgrade') this.#handlers.upgrade()
    else this.#drain('asked', word === 'move')
    return true
  }

  #drain(why: string, moves = false): void {
    if (this.#draining) return
    this.#draining = true
    this.#handlers?.drain(why, moves)
  }
}
