import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import type { SystemHandle } from '../../takeover/guardian/system-handle.ts'
import { LastWatch, type ToWatchdog, Watchdog } from '../../takeover/host/watchdog.ts'
import { detectNative } from '../../takeover/native/detect.ts'

/** A program and its arguments, that calls `serveWatchdog`. */
export interface WatchdogProgram {
  readonly exec: string
  readonly args: readonly string[]
}

/** Milliseconds: for its end, and until one that died is started again. */
const patience = 2_000
const pause = 1_000

/** The watchdog of this process, in a process of its own. */
export class WatchdogProcess {
  readonly watchdog: Watchdog
  readonly #program: WatchdogProgram
  readonly #log: Log
  #child: ChildProcess
  #closed = false

  constructor(program: WatchdogProgram, log: Log) {
    this.#program = program
    this.#log = log
    this.#child = this.#start()
    this.watchdog = new Watchdog(
      (message, handle, done) => this.#tell(message, handle, done),
      systemClock,
    )
  }

  /** Resolves when all that is open has been ended. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.watchdog.close()
    if (!this.#child.connected) return
    const ended = once(this.#child, 'exit')
    await Promise.race([ended, delay(patience, undefined, { ref: false })])
    this.#child.kill('SIGKILL')
  }

  #start(): ChildProcess {
    const { exec, args } = this.#program
    // Of a group of its own: what ends this one from a terminal must leave it alone.
    const options = {
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    } as const
    const child = fork(exec, args, { ...options, stdio: [...options.stdio] })
    child.unref()
    child.channel?.unref()
    child.on('error', error => this.#log.warn({ reason: error.message }, 'watchdog'))
    child.once('exit', (code, signal) => {
      if (this.#closed) return
      this.#log.warn({ code, signal }, 'the watchdog has ended, and is started again')
      setTimeout(() => {
        if (this.#closed) return
        this.#child = this.#start()
        this.watchdog.renew()
      }, pause).unref()
    })
    return child
  }

  #tell(message: ToWatchdog, handle: SystemHandle | undefined, done: () => void): void {
    if (this.#child.connected) this.#child.send(message, handle as never, {}, done)
    else done()
  }
}

/** The process itself: as long as the one that started it lives, and some milliseconds more. */
export async function serveWatchdog(): Promise<number> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) {
    process.on(signal, () => {})
  }
  const gone = once(process, 'disconnect')
  const heard: [ToWatchdog, SystemHandle | undefined][] = []
  let hear = (message: ToWatchdog, handle: SystemHandle | undefined) => {
    heard.push([message, handle])
  }
  process.on('message', (message: ToWatchdog, handle: unknown) =>
    hear(message, handle as SystemHandle | undefined),
  )
  const { sockets, addresses } = await detectNative()
  if (sockets === undefined || addresses === undefined) return 1
  const watch = new LastWatch({ native: sockets, addresses })
  const over = new Promise<'over'>(resolve => {
    hear = (message, handle) => {
      if (watch.heard(message, handle)) resolve('over')
    }
    for (const [message, handle] of heard) hear(message, handle)
  })
  if ((await Promise.race([over, gone])) !== 'over') watch.orphaned()
  if (process.connected) process.disconnect?.()
  return 0
}
