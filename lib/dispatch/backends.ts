import { createHash } from 'node:crypto'
import { Backend, type BackendOptions } from '../backend/backend.ts'
import type { CheckOptions } from '../backend/health/check-options.ts'
import { Checker } from '../backend/health/checker.ts'
import { type HealthBoard, noBoard } from '../backend/health/health-board.ts'
import { Probe, type SendProbe } from '../backend/health/probe.ts'
import { parseOrigin } from '../backend/origin.ts'
import { systemClock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type { Log } from '../log.ts'
import { shown } from '../shown.ts'
import { Affinity } from './affinity/affinity.ts'
import type { AffinityTable } from './affinity/affinity-table.ts'
import { isUrlName } from './affinity/url-form.ts'
import type { DispatchCounters } from './dispatch-counters.ts'
import { Dispatcher, type Resuming } from './dispatcher.ts'
import type { Drains } from './drains.ts'
import { Names } from './names.ts'
import type { BackendTarget, DispatcherOptions } from './options.ts'
import { Lines } from './queue/lines.ts'
import type { QueueOptions } from './queue/queued.ts'
import { type Place, systemLookup } from './resolved-name.ts'
import type { ResumeOptions } from './resumed-response/options.ts'
import { Retrying } from './retry/retrying.ts'
import { createSelection, type SelectionContext } from './selection/create-selection.ts'
import type { Tiers, Weighted } from './selection/tiers.ts'

/** Makes the dispatcher of a site, or of one of its routes. */
export type DispatcherTo = (options: DispatcherOptions) => Dispatcher

type BackendAt = (address: string, options: BackendOptions) => Backend

interface Served {
  readonly options: DispatcherOptions
  readonly selection: Tiers<Backend>
}

/** The backends in use. One stays the same over a reload when nothing about it changes. */
export class Backends {
  readonly #log: Log
  readonly #places: AffinityTable
  readonly #drains: Drains | undefined
  readonly #stopListening: (() => void) | undefined
  readonly #context: SelectionContext = { clock: systemClock, random: Math.random }
  readonly #counters: DispatchCounters
  readonly #lines = new Lines()
  readonly #board: HealthBoard
  readonly #checkers = new Map<Backend, Checker>()
  readonly #names: Names
  #byKey = new Map<string, Backend>()
  #served: readonly Served[] = []

  constructor(
    log: Log,
    counters: DispatchCounters,
    places: AffinityTable,
    drains?: Drains,
    board: HealthBoard = noBoard,
  ) {
    this.#log = log
    this.#board = board
    this.#counters = counters
    this.#places = places
    this.#names = new Names({
      clock: systemClock,
      log,
      lookup: systemLookup,
      onChange: this.#refresh,
    })
    this.#drains = drains
    this.#stopListening = drains?.onChange(() => {
      for (const backend of this.#byKey.values()) this.#tell(backend)
    })
  }

  /** Those in use. */
  all(): Iterable<Backend> {
    return this.#byKey.values()
  }

  /**
   * Runs `build`, which asks for dispatchers, and lets go of the backends that none of them
   * needs: their open requests finish. When it throws nothing has changed.
   */
  rebuild<T>(build: (dispatcherTo: DispatcherTo) => T): T {
    const next = new Map<string, Backend>()
    const made: Backend[] = []
    const backendAt = this.#maker(next, made)
    const served: Served[] = []
    this.#names.begin()
    let result: T
    try {
      result = build(options => {
        const { resume, retries, affinity, scope } = options
        const backends = this.#weighted(options, backendAt)
        const selection = createSelection(backends, options.selection, this.#context)
        served.push({ options, selection })
        return new Dispatcher(selection, {
          retrying: new Retrying(retries, systemClock),
          resuming: resume.most > 0 ? this.#resuming(resume) : undefined,
          affinity:
            affinity === undefined || affinity.by === 'none'
              ? undefined
              : new Affinity(affinity, scope, this.#places, namesOf(options.targets)),
          queue: options.queueTimeout > 0 ? this.#queue(options.queueTimeout) : undefined,
          timeouts: options.timeouts,
          hedging: options.hedging && {
            options: options.hedging,
            clock: this.#context.clock,
            onOutcome: this.#counters.hedged,
          },
        })
      })
    } catch (error) {
      for (const backend of made) {
        this.#uncheck(backend)
        this.#letGo(backend.destroy())
      }
      throw error
    }
    this.#names.sweep()
    this.#served = served
    this.#replace(next)
    return result
  }

  /** A name leads elsewhere: backends come, and those that are gone finish what is open. */
  readonly #refresh = (): void => {
    const next = new Map<string, Backend>()
    const backendAt = this.#maker(next, [])
    for (const { options, selection } of this.#served) {
      selection.setBackends(this.#weighted(options, backendAt))
    }
    this.#replace(next)
  }

  #maker(next: Map<string, Backend>, made: Backend[]): BackendAt {
    return (address, options) => {
      const key = keyOf(address, options)
      let backend = next.get(key) ?? this.#byKey.get(key)
      if (backend === undefined) {
        backend = new Backend(address, options)
        if (this.#byKey.size > 0) backend.join()
        this.#listen(backend)
        this.#tell(backend)
        if (options.check !== undefined) this.#check(backend, options.check, options)
        made.push(backend)
      }
      next.set(key, backend)
      return backend
    }
  }

  #replace(next: Map<string, Backend>): void {
    for (const [key, backend] of this.#byKey) {
      if (next.has(key)) continue
      this.#uncheck(backend)
      backend.close()
    }
    this.#byKey = next
  }

  #weighted(
    { targets, backend: options }: DispatcherOptions,
    backendAt: BackendAt,
  ): Weighted<Backend>[] {
    return targets.flatMap(target => {
      const { url, weight = 1, maxRequests = options.maxRequests, resolve } = target
      const held = { ...options, maxRequests }
      const priority = priorityOf(target)
      const weighted = (backend: Backend, part = 1): Weighted<Backend> => {
        return { backend, origin: backend.origin, weight: weight * part, priority }
      }
      const places =
        resolve === undefined
          ? undefined
          : this.#names.of(parseOrigin(url), resolve).places
      return (
        places?.map(place => {
          const at = { ...held, address: place.address }
          return weighted(backendAt(urlOf(url, place), at), place.weight)
        }) ?? [weighted(backendAt(url, held))]
      )
    })
  }

  #queue(timeout: number): QueueOptions {
    return { lines: this.#lines, timeout, clock: this.#context.clock }
  }

  async destroy(): Promise<void> {
    this.#stopListening?.()
    for (const checker of this.#checkers.values()) checker.close()
    this.#names.close()
    await Promise.allSettled([...this.#byKey.values()].map(backend => backend.destroy()))
  }

  #resuming(options: ResumeOptions): Resuming {
    return { options, clock: systemClock, onOutcome: this.#counters.brokeOff }
  }

  #listen(backend: Backend): void {
    const { origin } = backend
    backend.onHealth = reason => {
      if (reason === undefined) this.#log.info({ backend: origin }, 'a backend is back')
      else this.#log.warn({ backend: origin, reason }, 'a backend is passed over')
      // A check contradicts that, and nothing else: a page that is there says nothing of what
      // becomes of requests.
      if (reason === 'unreachable') this.#checkers.get(backend)?.doubt()
    }
  }

  /** What the operator wants of it. */
  #tell(backend: Backend): void {
    const draining = this.#drains?.has(backend.origin) ?? false
    if (backend.draining === draining) return
    backend.draining = draining
    const { origin } = backend
    this.#log.info({ backend: origin }, draining ? 'backend drains' : 'backend enabled')
  }

  #check(backend: Backend, options: CheckOptions, by: BackendOptions): void {
    const { clock, random } = this.#context
    const { host } = new URL(backend.origin)
    const send: SendProbe = (request, handler) => backend.probe(request, handler)
    const probe = new Probe(options, host, send, clock)
    const checker = new Checker({
      options,
      name: checkName(backend.origin, options, by),
      ask: done => probe.run(done),
      board: this.#board,
      clock,
      random,
      onVerdict: (up, fault) => {
        if (!up) this.#log.warn({ backend: backend.origin, fault }, 'a check failed')
        backend.found(up)
      },
    })
    this.#checkers.set(backend, checker)
    checker.start()
  }

  #uncheck(backend: Backend): void {
    this.#checkers.get(backend)?.close()
    this.#checkers.delete(backend)
  }

  #letGo(closing: Promise<void>): void {
    closing.catch(error => this.#log.debug({ error: String(error) }, 'closing a backend'))
  }
}

/** By origin. Throws ERR_HANDFAST_CONFIG for names that tell no one from another. */
export function namesOf(targets: readonly BackendTarget[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  for (const { url, name, resolve } of targets) {
    if (name === undefined) continue
    const wrong =
      !isUrlName(name) || resolve !== undefined || [...names.values()].includes(name)
    if (wrong) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `the name of a backend must be letters, digits and dashes, no other's, and without ` +
          `resolve, got ${shown(name)}`,
      )
    }
    names.set(parseOrigin(url).origin, name)
  }
  return names
}

function urlOf(url: string, { name, port }: Place): string {
  const { protocol } = new URL(url)
  return `${protocol}//${name}:${port}`
}

/** A backup comes after all others. */
function priorityOf({ backup = false, priority = 0 }: BackendTarget): number {
  return backup ? Number.POSITIVE_INFINITY : priority
}

/** Equal for options that are. Of keys and certificates it has a digest. */
function keyOf(address: string, options: BackendOptions): string {
  const { ca, cert, key, ...others } = options
  return JSON.stringify([
    address,
    credentialsDigest(options),
    Object.entries(others).sort(),
  ])
}

/**
 * Equal on all proxies for checks that must come to the same: with other certificates, or in
 * another protocol, the same address may well answer otherwise.
 */
function checkName(origin: string, options: CheckOptions, by: BackendOptions): string {
  const way = [by.protocol ?? 'http1', by.proxyProtocol ?? 0, credentialsDigest(by)]
  return JSON.stringify([origin, way, Object.entries(options).sort()])
}

function credentialsDigest({ ca, cert, key }: BackendOptions): string {
  return createHash('sha256')
    .update(JSON.stringify([ca, cert, key].map(pem => String(pem ?? ''))))
    .digest('base64')
}
