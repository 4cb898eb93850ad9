import cluster, { type Worker } from 'node:cluster'
import { systemClock } from '../../clock.ts'
import { generateSecret } from '../../farm/secret.ts'
import { resolveLimits } from '../../proxy/limits.ts'
import { Guardian } from '../../takeover/guardian/guardian.ts'
import { resolveGuardian } from '../../takeover/guardian/options.ts'
import type { SystemHandle } from '../../takeover/guardian/system-handle.ts'
import { nothingMoves } from '../host-member.ts'
import {
  type FromServer,
  isToGuardian,
  type ToWorker,
  workerProtocol,
} from '../messages.ts'
import { Signals } from '../process/signals.ts'
import { Reloader } from '../reloader.ts'
import type { ServeOptions } from '../serve-alone.ts'
import type { ServeSettings } from '../settings.ts'
import { Handover } from './handover.ts'
import { Supervisor, type SupervisorEvent } from './supervisor.ts'
import { untakenBy, whenSilent } from './untaken-connections.ts'

/** From the fork to the first client, the join of the farm included. */
const startLimit = 60_000

/** What a drain may take beyond the time that requests have. */
const drainSlack = 5_000

export interface ClusterOptions extends ServeOptions {
  /** The program, and its arguments, that calls `serveWorker`. */
  readonly worker: { readonly exec: string; readonly args: string[] }
}

/**
 * Serves with several processes that share the port. This one carries no traffic: it starts
 * the workers, which are one member of the farm, and passes signals on. Answers the exit code.
 */
export async function serveCluster(options: ClusterOptions): Promise<number> {
  const primary = new Primary(options)
  return await primary.run()
}

const draining = 'draining'

class Primary {
  readonly #options: ClusterOptions
  readonly #reloader: Reloader
  readonly #supervisor: Supervisor
  readonly #signals = new Signals()
  readonly #workers = new Map<number, Worker>()
  /** Those that take connections. */
  readonly #serving = new Set<Worker>()
  /** Undefined without a guardian. */
  readonly #handover: Handover | undefined
  /** Of this farm when the operator gave none: no other host is meant to join it. */
  readonly #secret = generateSecret()
  #listening: { host: string; port: number } | undefined
  #failure: { message: string; exitCode: number } | undefined
  /** In whose place others are: they finish what is under way. */
  readonly #leaving = new Set<Worker>()
  /** Serves beside the one that it may replace. */
  #onTrial: Worker | undefined
  #upgrading = false
  #draining = false
  /** What the workers answer whoever asks for the host. */
  #notReady: string | undefined = 'not all workers are up yet'
  #killed = false
  #resolve: (exitCode: number) => void = () => {}
  #reject: (error: Error) => void = () => {}

  constructor(options: ClusterOptions) {
    const { settings, load, log, guardian } = options
    this.#options = options
    const guarded = guardian === 'on'
    // Connections go to one that is there already: starting takes longer than clients notice.
    const least = guarded ? 2 : 1
    this.#supervisor = new Supervisor(Math.max(least, settings.workers))
    this.#handover = guarded
      ? new Handover(guardianOf(settings), systemClock, log)
      : undefined
    this.#reloader = new Reloader({
      settings,
      load,
      log,
      apply: fresh => this.#tellAll({ type: 'reload', settings: fresh }),
    })
  }

  async run(): Promise<number> {
    cluster.setupPrimary(this.#options.worker)
    const stopListening = this.#signals.listen({
      drain: (signal, moves) => this.#drain(signal, moves),
      abort: () => this.#kill(),
      reload: () => void this.#reloader.request(),
      reopenLogs: () => this.#tellAll({ type: 'reopen-logs' }),
      upgrade: () => void this.#upgrade(),
    })
    const orphaned = () => this.#kill()
    process.once('disconnect', orphaned)
    try {
      return await new Promise<number>((resolve, reject) => {
        this.#resolve = resolve
        this.#reject = reject
        this.#on({ type: 'begin' })
      })
    } finally {
      stopListening()
      process.off('disconnect', orphaned)
    }
  }

  #on(event: SupervisorEvent): void {
    const { log, onListening } = this.#options
    for (const action of this.#supervisor.on(event, systemClock.monotonic())) {
      switch (action.type) {
        case 'fork':
          this.#fork(action.slot)
          break
        case 'wake':
          setTimeout(() => this.#on({ type: 'wake' }), action.ms)
          break
        case 'complete':
          log.info({ workers: this.#workers.size }, 'all workers are up')
          if (this.#notReady !== draining) this.#tellReadiness(undefined)
          if (this.#listening !== undefined) onListening(this.#listening)
          break
        case 'give-up':
          this.#giveUp()
          break
        case 'stopped':
          this.#resolve(this.#killed ? 1 : 0)
          break
      }
    }
  }

  #fork(slot: number): void {
    // One that was meant to replace another has come to serve meanwhile.
    if (this.#workers.has(slot)) process.nextTick(() => this.#on({ type: 'ready', slot }))
    else this.#workers.set(slot, this.#start(slot))
  }

  /** `onUp`: it serves. `onDown`: it has ended. */
  #start(slot: number, onUp?: () => void, onDown?: (why: string) => void): Worker {
    const { log } = this.#options
    const worker = cluster.fork()
    const giveUntaken = untakenBy(worker)
    const late = setTimeout(() => worker.process.kill('SIGKILL'), startLimit)
    late.unref()
    let failure: string | undefined
    worker.on('message', (message: FromServer, handle: unknown) => {
      if (message.type === 'hello') {
        if (message.protocol === workerProtocol) this.#begin(worker, slot)
        else {
          failure = 'this release can not be had without a restart'
          worker.process.kill('SIGKILL')
        }
      } else if (message.type === 'listening') {
        clearTimeout(late)
        this.#listening ??= { host: message.host, port: message.port }
        this.#serving.add(worker)
        onUp?.()
        this.#on({ type: 'ready', slot })
        this.#handover?.ready(worker)
      } else if (isToGuardian(message)) {
        this.#handover?.heard(worker, message, handle as SystemHandle | undefined)
      } else if (message.type === 'left') {
        this.#tell(worker, { type: 'bye' })
      } else if (message.type === 'asked') {
        this.#signals.ask(message.word)
      } else if (message.type === 'failed') {
        failure = message.message
        if (this.#workers.get(slot) === worker) this.#failure = message
        log.error({ slot, reason: message.message }, 'worker failed to start')
      }
    })
    worker.on('error', error =>
      log.warn({ slot, reason: error.message }, 'worker channel'),
    )
    worker.on('exit', (code, signal) => {
      clearTimeout(late)
      this.#serving.delete(worker)
      const unasked = 'worker ended unasked: another one is started'
      if (this.#isReplaced(slot, worker)) log.warn({ slot, code, signal }, unasked)
      else log.info({ slot, code, signal }, 'worker ended')
      this.#leaving.delete(worker)
      this.#handover?.gone(worker)
      // What it said last may be on its way still.
      whenSilent(worker, () => {
        giveUntaken(this.#heir)
        this.#handover?.died(worker)
      })
      onDown?.(failure ?? `it ended with ${signal ?? code}`)
      if (this.#workers.get(slot) !== worker) return
      this.#workers.delete(slot)
      this.#on({ type: 'exited', slot })
    })
    return worker
  }

  /** Its end is nobody's wish. Before any worker has come up none is started in its place. */
  #isReplaced(slot: number, worker: Worker): boolean {
    if (this.#draining || this.#killed || this.#listening === undefined) return false
    return this.#workers.get(slot) === worker
  }

  /** Whoever takes what another one has left; undefined where nobody serves. */
  get #heir(): Worker | undefined {
    if (this.#draining || this.#killed) return undefined
    return [...this.#serving].find(worker => worker.isConnected())
  }

  #begin(worker: Worker, slot: number): void {
    const { settings } = this.#reloader
    const farm = { ...settings.farm, secret: settings.farm.secret ?? this.#secret }
    const notReady = this.#notReady
    const own = { ...settings, farm }
    const { guardian } = this.#options
    this.#tell(worker, { type: 'start', slot, settings: own, notReady, guardian })
    if (this.#draining) this.#tell(worker, { type: 'drain' })
  }

  /** New workers, of the program as it is now, one after the other. */
  async #upgrade(): Promise<void> {
    const { log } = this.#options
    if (this.#upgrading || this.#notReady !== undefined) {
      log.warn(
        {},
        'not the time for an upgrade: not all workers are up, or it is under way',
      )
      return
    }
    this.#upgrading = true
    log.info({ workers: this.#workers.size }, 'upgrading')
    let failure: string | undefined
    let { upgradeProbation: trial } = resolveLimits(this.#reloader.settings.limits)
    for (const slot of [...this.#workers.keys()]) {
      await this.#replace(slot, trial, why => {
        failure ??= why
      })
      if (failure !== undefined || this.#draining) break
      trial = 0
    }
    this.#upgrading = false
    if (this.#draining) return
    if (failure === undefined) log.info({ workers: this.#workers.size }, 'upgraded')
    else log.error({ reason: failure }, 'upgrade given up: the workers that serve go on')
  }

  /**
   * Until another worker is in its place, or has ended. For `trial` ms both serve: the one that
   * was there goes on if the new one ends. `onDown` hears why one ended, be it later.
   */
  #replace(slot: number, trial: number, onDown: (why: string) => void): Promise<void> {
    return new Promise(resolve => {
      let timer: NodeJS.Timeout | undefined
      const take = () => {
        const old = this.#workers.get(slot)
        this.#workers.set(slot, fresh)
        this.#onTrial = undefined
        resolve()
        if (old !== undefined) this.#dismiss(old)
      }
      const onUp = () => {
        timer = setTimeout(take, trial)
      }
      const fresh = this.#start(slot, onUp, why => {
        clearTimeout(timer)
        if (this.#onTrial === fresh) this.#onTrial = undefined
        onDown(why)
        resolve()
      })
      this.#onTrial = fresh
    })
  }

  /** Another worker is there in its place. */
  #dismiss(worker: Worker): void {
    this.#serving.delete(worker)
    this.#leaving.add(worker)
    this.#handover?.gone(worker)
    this.#tell(worker, { type: 'leave', held: this.#handover?.heldOf(worker) ?? [] })
    const { drainTimeout } = resolveLimits(this.#reloader.settings.limits)
    const kill = () => worker.process.kill('SIGKILL')
    const timer = setTimeout(kill, drainTimeout + drainSlack).unref()
    worker.once('exit', () => clearTimeout(timer))
  }

  #drain(signal: string, moves: boolean): void {
    const { log } = this.#options
    if (moves) log.warn({}, nothingMoves)
    const { shutdownDelay } = resolveLimits(this.#reloader.settings.limits)
    log.info({ signal, workers: this.#workers.size, shutdownDelay }, draining)
    this.#tellReadiness(draining)
    setTimeout(() => this.#stop(), shutdownDelay)
  }

  #stop(): void {
    this.#draining = true
    this.#handover?.close()
    this.#tellAll({ type: 'drain' })
    const { drainTimeout } = resolveLimits(this.#reloader.settings.limits)
    setTimeout(() => this.#kill(), drainTimeout + drainSlack).unref()
    this.#on({ type: 'stop' })
  }

  #tellReadiness(notReady: string | undefined): void {
    this.#notReady = notReady
    this.#tellAll({ type: 'readiness', notReady })
  }

  /** Ends all workers now. Their end is heard as usual. */
  #kill(): void {
    this.#killed = true
    this.#handover?.close()
    for (const worker of [...this.#all, ...this.#leaving]) worker.process.kill('SIGKILL')
    this.#on({ type: 'stop' })
  }

  #giveUp(): void {
    const { message, exitCode } = this.#failure ?? {
      message: 'no worker came up',
      exitCode: 1,
    }
    if (exitCode === 2) this.#resolve(2)
    else this.#reject(new Error(message))
  }

  #tellAll(message: ToWorker): void {
    for (const worker of this.#all) this.#tell(worker, message)
  }

  get #all(): Worker[] {
    const all = [...this.#workers.values()]
    return this.#onTrial === undefined ? all : [...all, this.#onTrial]
  }

  #tell(worker: Worker, message: ToWorker): void {
    // A worker that is just dying can't be told; its successor gets the settings at start.
    if (worker.isConnected()) worker.send(message, () => {})
  }
}

function guardianOf({ guardian = {}, limits }: ServeSettings): Guardian<SystemHandle> {
  const { clientShare } = resolveLimits(limits)
  return new Guardian({ ...resolveGuardian(guardian), share: clientShare / 100 })
}
