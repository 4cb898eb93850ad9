import { randomBytes } from 'node:crypto'
import { systemClock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import { farmKey, parseSecret } from '../farm/secret.ts'
import { type Log, silentLog } from '../log.ts'
import { unknownName } from '../options/unknown-name.ts'
import { shown } from '../shown.ts'
import type { DataCache } from './cache/data-cache.ts'
import { FarmCache } from './cache/farm-cache.ts'
import { Freshness } from './cache/freshness.ts'
import { MemoryCache } from './cache/memory-cache.ts'
import { GuardedDatabase } from './guarded-database.ts'
import { mostKeyBytes } from './names.ts'
import { openDatabase } from './open-database.ts'
import {
  checkStateOptions,
  type StateOptions,
  sessionsTable,
  tableSettings,
} from './options.ts'
import { StateSealer } from './sealer.ts'
import {
  type InstanceMiddleware,
  type InstanceOptions,
  InstanceVerification,
} from './session/instance.ts'
import {
  type SessionStore,
  type SessionStoreOptions,
  storeOf,
} from './session/session-store.ts'
import { StateCounters, type StateCounts } from './state-counters.ts'
import { StateTable } from './state-table.ts'

/**
 * State of an application that survives its server: read from a cache on this server, written
 * through to a database.
 *
 * ```ts
 * const state = await createState({ farm, database: memoryDatabase(), tables: { carts: {} } })
 * const carts = state.table<Cart>('carts')
 * await carts.update(id, cart => ({ ...cart, paid: true }))
 * ```
 *
 * Rejects with ERR_HANDFAST_CONFIG for a bad option, ERR_HANDFAST_SCHEMA when the database was
 * written by a later release, and with ERR_HANDFAST_DATABASE when it does not answer within
 * `openBudget`.
 */
export async function createState(options: StateOptions): Promise<State> {
  const numbers = checkStateOptions(options)
  const tables = tableSettings(options.tables)
  const { database, farm, clock = systemClock } = options
  const log = options.log ?? farm?.forState.log ?? silentLog
  const isExclusive = database.reach === 'process'
  if (isExclusive && farm?.address !== undefined) {
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      `createState: no other member of the farm can open this database (${database.name})`,
    )
  }
  const sealsAll = options.sealed ?? database.isVolatile !== true
  const seals = [...tables.values()].some(({ sealed = sealsAll }) => sealed)
  const sealer = seals ? new StateSealer(sealingKey(options)) : undefined
  const cache: DataCache =
    farm === undefined || isExclusive
      ? new MemoryCache(clock, numbers.cacheBytes)
      : new FarmCache(farm.forState)
  await openDatabase(database, { clock, log, budget: numbers.openBudget })
  const counters = new StateCounters()
  const guarded = new GuardedDatabase(database, { clock, ...numbers })
  const made = new Map<string, StateTable>()
  const outdated = (table: string, name: string, floor: bigint) =>
    made.get(table)?.outdated(name, floor)
  const freshness = new Freshness({ cache, database }, (table, name, floor) => {
    // Other applications may have tables of their own there.
    if (!made.has(table)) return
    outdated(table, name, floor)
    cache.keep(table, name, {
      version: floor,
      value: undefined,
      expiresAt: undefined,
      asOf: cache.now(),
    })
  })
  const onFault = (error: unknown, table: string) => {
    counters.unreadable += 1
    log.warn({ table, reason: String(error) }, 'an entry could not be read')
  }
  for (const [name, settings] of tables) {
    const { sealed = sealsAll } = settings
    const parts = { name, settings, cache, freshness, counters, onFault }
    const { farmBudget, writeBudget: turnBudget } = numbers
    made.set(
      name,
      new StateTable({
        ...parts,
        database: guarded,
        sealer: sealed ? sealer : undefined,
        wall: () => clock.now(),
        farmBudget,
        turnBudget,
      }),
    )
  }
  const stopWatching = cache.watch(outdated)
  const close = async () => {
    stopWatching()
    freshness.close()
    await database.close()
    cache.close()
  }
  return new State({ tables: made, freshness, counters, log, close })
}

export interface StateParts {
  readonly tables: ReadonlyMap<string, StateTable>
  readonly freshness: Freshness
  readonly counters: StateCounters
  readonly log: Log
  readonly close: () => Promise<void>
}

/** The application state of one server; see createState. */
export class State implements AsyncDisposable {
  /** Drawn at each start. */
  readonly instanceId: string = randomBytes(12).toString('base64url')
  readonly #parts: StateParts
  #closed: Promise<void> | undefined

  /** @internal */
  constructor(parts: StateParts) {
    this.#parts = parts
  }

  /** Throws ERR_HANDFAST_USAGE for a table that `tables` did not name. */
  table<T = unknown>(name: string): StateTable<T> {
    const { tables } = this.#parts
    const table = tables.get(name)
    if (table !== undefined) return table as StateTable<T>
    const advice = unknownName(name, [...tables.keys()])
    throw new HandfastError(
      'ERR_HANDFAST_USAGE',
      `there is no table ${shown(name)}, ${advice}: name it in createState({ tables })`,
    )
  }

  /**
   * A store for express-session and @fastify/session. Express-session gives what stores inherit
   * from: `session({ store: state.sessionStore(session) })`.
   */
  sessionStore(base?: unknown, options?: SessionStoreOptions): SessionStore {
    const { table = sessionsTable } = options ?? {}
    return storeOf(this.table(table), base, options ?? {}, this.#parts.log)
  }

  /**
   * Middleware that tells by a cookie whether this server, since its start, was the last one that
   * answered this client. Else what is cached of the client's session is loaded anew: this server
   * was down, or away, and others went on. Goes before the session middleware.
   */
  instance(options: InstanceOptions = {}): InstanceMiddleware {
    const flush = (session: string) => this.flush(session)
    return new InstanceVerification(this.instanceId, options, flush).middleware()
  }

  /**
   * What is cached here of a session is loaded from the database before it is shown again: in all
   * tables, what has its key, or one that begins with it and a `/`.
   */
  flush(session: string): void {
    // Whoever sends a request can make one up. A copy, or its headers would stay in memory.
    const bytes = Buffer.from(session)
    if (bytes.length > mostKeyBytes) return
    this.#parts.counters.flushes += 1
    this.#parts.freshness.flush(bytes.toString())
  }

  stats(): StateCounts {
    return this.#parts.counters.snapshot()
  }

  /** Closes the database, too. */
  close(): Promise<void> {
    this.#closed ??= this.#parts.close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** Not the farm's own secret, which seals more than this. */
function sealingKey({ secret, farm }: StateOptions): Buffer {
  if (secret !== undefined) return farmKey(parseSecret(secret), '', 'state')
  const key = farm?.forState.key
  if (key !== undefined) return key
  throw new HandfastError(
    'ERR_HANDFAST_CONFIG',
    'createState: values are sealed in the database under a secret: give the farm one, or ' +
      'option secret (`handfast secret` prints one), or sealed: false to keep them in clear',
  )
}
