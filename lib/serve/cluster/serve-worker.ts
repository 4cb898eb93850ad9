import { setTimeout } from 'node:timers/promises'
import type { AskedWord } from '../../admin/admin.ts'
import { HandfastError } from '../../errors.ts'
import { createLog } from '../../log.ts'
import { type Adopt, GuardianKeeper } from '../../takeover/guardian/guardian-keeper.ts'
import type { GuardianState } from '../../takeover/guardian/guardian-state.ts'
import type { SystemHandle } from '../../takeover/guardian/system-handle.ts'
import { detectNative } from '../../takeover/native/detect.ts'
import { TakeoverCounters } from '../../takeover/takeover-counters.ts'
import { type ToWorker, tellGuardian, tellParent, workerProtocol } from '../messages.ts'
import { logProcessFaults } from '../process/process-faults.ts'
import { Readiness } from '../process/readiness.ts'
import { type Server, type ServerGuard, startServer } from '../server.ts'
import type { ServeSettings } from '../settings.ts'

/**
 * A worker of `handfast proxy`: does what the primary says. Signals from the terminal reach
 * it too, but it is the primary who decides.
 */
export async function serveWorker(): Promise<number> {
  for (const signal of signals) process.on(signal, ignore)
  const orders = new Orders()
  tellParent({ type: 'hello', protocol: workerProtocol })
  const { settings, slot, guardian } = await orders.start
  const written = createLog({ level: settings.logLevel, format: settings.logFormat })
  const log = written.child({ worker: slot })
  logProcessFaults(log)
  let server: Server
  try {
    const onAsked = (word: AskedWord) => {
      tellParent({ type: 'asked', word })
      return true
    }
    const guard = await guardOf(guardian)
    server = await startServer(
      settings,
      log,
      written.dropped,
      orders.readiness,
      onAsked,
      guard,
    )
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
  orders.onAdopt((adopt, handle) => {
    if (server.adopt(handle, Buffer.from(adopt.checkpoint, 'base64'))) return
    tellParent({ type: 'retire', id: adopt.id })
  })
  const { host, port, farmAddress } = server
  tellParent({ type: 'listening', host, port, farmAddress })
  const how = await orders.drain
  if (how.type === 'leave') server.leave(new Set(how.held))
  await server.drain()
  if (how.type === 'leave') {
    tellParent({ type: 'left' })
    await Promise.race([orders.bye, setTimeout(longestBye, undefined, { ref: false })])
  }
  process.disconnect?.()
  return 0
}

/** Milliseconds for the answer of a primary that is there. */
const longestBye = 5_000

/** How this worker's connections are kept by the process that started it. */
async function guardOf(state: GuardianState): Promise<ServerGuard> {
  const native = state === 'on' ? (await detectNative()).sockets : undefined
  if (native === undefined) return { state }
  const keeper = new GuardianKeeper(tellGuardian)
  return { state, protection: { keeper, native, counters: new TakeoverCounters() } }
}

type Departure = Extract<ToWorker, { type: 'drain' | 'leave' }>

/** What the primary says, kept until someone wants to know: it may speak before we serve. */
class Orders {
  readonly start: Promise<Extract<ToWorker, { type: 'start' }>>
  readonly drain: Promise<Departure>
  readonly bye: Promise<void>
  readonly readiness: Readiness = new Readiness('starting')
  #reopenLogs: () => void = ignore
  #fresh: ServeSettings | undefined
  #reload: ((settings: ServeSettings) => void) | undefined
  #adopt: (message: Adopt, handle: SystemHandle) => void = (_, handle) => handle.close()

  constructor() {
    let started: (message: Extract<ToWorker, { type: 'start' }>) => void = ignore
    let drained: (how: Departure) => void = ignore
    let saidBye: () => void = ignore
    this.bye = new Promise(resolve => {
      saidBye = resolve
    })
    this.start = new Promise(resolve => {
      started = resolve
    })
    this.drain = new Promise(resolve => {
      drained = resolve
    })
    process.on('message', (message: ToWorker, handle: unknown) => {
      if (message.type === 'start' || message.type === 'readiness') {
        this.readiness.set(message.notReady)
      }
      if (message.type === 'start') started(message)
      if (message.type === 'drain' || message.type === 'leave') drained(message)
      if (message.type === 'bye') saidBye()
      if (message.type === 'reopen-logs') this.#reopenLogs()
      if (message.type === 'adopt' && handle) this.#adopt(message, handle as SystemHandle)
      if (message.type !== 'reload') return
      this.#fresh = message.settings
      this.#reload?.(message.settings)
    })
  }

  /** Before it is called the files are not open yet, or only just. */
  onReopenLogs(reopen: () => void): void {
    this.#reopenLogs = reopen
  }

  /** Of those alone that serve anything is to be adopted. */
  onAdopt(adopt: (message: Adopt, handle: SystemHandle) => void): void {
    this.#adopt = adopt
  }

  onReload(reload: (settings: ServeSettings) => void): void {
    this.#reload = reload
    if (this.#fresh !== undefined) reload(this.#fresh)
  }
}

/** What a signal to the whole process group would else end, or open a debugger in. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const

function ignore(): void {}
