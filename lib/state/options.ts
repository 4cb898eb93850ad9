import type { Clock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import type { Log } from '../log.ts'
import {
  anything,
  aSecret,
  aSwitch,
  aText,
  checkOptions,
  type OptionRule,
  type OptionRules,
  withMethods,
} from '../options/check-options.ts'
import { fillNumbers, type NumberRules } from '../options/number-options.ts'
import { shown } from '../shown.ts'
import type { Database } from './database.ts'
import type { StateFarm } from './state-farm.ts'
import type { ValueKind } from './value-codec.ts'

/** Times in milliseconds. */
export interface StateOptions {
  /** Where state is kept for good. It is opened, and closed with the state. */
  readonly database: Database
  /**
   * The farm that this server is in: its members then share what they cache, and a write counts
   * when all that can be reached know of it. Default: none, this server caches for itself.
   */
  readonly farm?: StateFarm | undefined
  /** The tables of the application, by name. `sessions` is there anyway, and may be named here. */
  readonly tables?: { readonly [name: string]: TableOptions } | undefined
  /**
   * 32 bytes, as base64url, base64 or hex, equal on all servers: keys for what is sealed are drawn
   * from it. Default: the farm's secret.
   */
  readonly secret?: string | Buffer | undefined
  /**
   * Whether values and keys lie sealed in the database. Default true, but for a database that is
   * in memory only. Of a table: its own option.
   */
  readonly sealed?: boolean | undefined
  /**
   * For so long a database that does not answer yet is waited for at the start; the log is told.
   * Default 30 000; 0: it is asked once.
   */
  readonly openBudget?: number | undefined
  /** Longest wait for the database to answer a read. Default 1000. */
  readonly readBudget?: number | undefined
  /** Longest wait for it to store something. Default 3000. */
  readonly writeBudget?: number | undefined
  /** Longest wait for other members to know what was stored. Default 1000. */
  readonly farmBudget?: number | undefined
  /** Questions to the database under way; more are refused at once. Default 1000. */
  readonly maxPending?: number | undefined
  /** Bytes of the data cache where there is no farm. Default 64 MiB. */
  readonly cacheBytes?: number | undefined
  /** Where faults are told. Default: the farm's, else nowhere. */
  readonly log?: Log | undefined
  /** In place of the system's. */
  readonly clock?: Clock | undefined
}

export interface TableOptions {
  /** What its values are: `json` (default), all that JSON can say, or `bytes`. */
  readonly as?: ValueKind | undefined
  /** Time from a write until an entry is gone. Default: it stays. */
  readonly ttl?: number | undefined
  /** Largest value. Default 65 000 bytes; above that a value is not cached. At most 16 MiB. */
  readonly maxBytes?: number | undefined
  /**
   * How old a cached value may be that is shown without a look in the database. Default 60 000
   * where somebody tells of changes (a farm, PostgreSQL), else 0: each read looks.
   */
  readonly cacheTtl?: number | undefined
  /** Default: that of the state. */
  readonly sealed?: boolean | undefined
}

const aMappingOfTables: OptionRule = {
  expected: 'options of tables by their names',
  accepts: value => typeof value === 'object' && value !== null && !Array.isArray(value),
}

const aFarm: OptionRule = {
  expected: 'what createFarm made',
  accepts: value => typeof value === 'object' && value !== null && 'forState' in value,
}

const stateRules: OptionRules<StateOptions> = {
  database: withMethods('a database', 'open', 'get', 'compareAndSet', 'delete', 'close'),
  farm: aFarm,
  tables: aMappingOfTables,
  secret: aSecret,
  sealed: aSwitch,
  openBudget: anything,
  readBudget: anything,
  writeBudget: anything,
  farmBudget: anything,
  maxPending: anything,
  cacheBytes: anything,
  log: withMethods('a log', 'info', 'warn'),
  clock: withMethods('a clock', 'now', 'monotonic', 'after'),
}

const tableRules: OptionRules<TableOptions> = {
  as: aText,
  ttl: anything,
  maxBytes: anything,
  cacheTtl: anything,
  sealed: aSwitch,
}

const hour = 3_600_000
/** A hundred years. */
export const longestTtl: number = 100 * 365 * 24 * hour

export const stateNumbers: NumberRules<
  'openBudget' | 'readBudget' | 'writeBudget' | 'farmBudget' | 'maxPending' | 'cacheBytes'
> = {
  openBudget: { unit: 'ms', usual: 30_000, least: 0, most: 3_600_000 },
  readBudget: { unit: 'ms', usual: 1_000, least: 1, most: 60_000 },
  writeBudget: { unit: 'ms', usual: 3_000, least: 1, most: 60_000 },
  farmBudget: { unit: 'ms', usual: 1_000, least: 0, most: 60_000 },
  maxPending: { unit: 'count', usual: 1_000, least: 1, most: 100_000 },
  cacheBytes: { unit: 'bytes', usual: 64 * 1024 * 1024, least: 0, most: 2 ** 40 },
}

export type StateNumbers = { readonly [name in keyof typeof stateNumbers]: number }

const tableNumbers: NumberRules<'ttl' | 'maxBytes' | 'cacheTtl'> = {
  ttl: { unit: 'ms', usual: undefined, least: 1, most: longestTtl },
  maxBytes: { unit: 'bytes', usual: 65_000, least: 1, most: 16 * 1024 * 1024 },
  cacheTtl: { unit: 'ms', usual: undefined, least: 0, most: hour },
}

export interface TableSettings {
  readonly as: ValueKind
  readonly ttl: number | undefined
  readonly maxBytes: number
  readonly cacheTtl: number | undefined
  readonly sealed: boolean | undefined
}

const tableName = /^[A-Za-z0-9_-]{1,32}$/

export const sessionsTable = 'sessions'

/** The numbers with defaults filled in; ERR_HANDFAST_CONFIG names a bad option. */
export function checkStateOptions(options: StateOptions): StateNumbers {
  checkOptions('createState', options, stateRules)
  if ((options.database as Database | undefined) === undefined) {
    throw config('createState: database is needed, for example memoryDatabase()')
  }
  return fillNumbers(stateNumbers, options, { prefix: 'createState: ', whole: true })
}

/** By name; the sessions' own is among them. */
export function tableSettings(
  tables: StateOptions['tables'],
): Map<string, TableSettings> {
  const all = new Map<string, TableSettings>()
  const given: { readonly [name: string]: TableOptions } = {
    [sessionsTable]: {},
    ...tables,
  }
  for (const [name, options] of Object.entries(given)) {
    if (!tableName.test(name)) {
      throw config(
        `createState: the name of a table has 1 to 32 letters, digits, - or _, got ${shown(name)}`,
      )
    }
    const call = `createState: tables.${name}`
    checkOptions(call, options, tableRules)
    const { as = 'json', sealed } = options
    if (as !== 'json' && as !== 'bytes') {
      throw config(`${call}.as must be 'json' or 'bytes', got ${shown(as)}`)
    }
    const numbers: { readonly [name in keyof typeof tableNumbers]: number | undefined } =
      fillNumbers(tableNumbers, options, { prefix: `${call}.`, whole: true })
    const { ttl, cacheTtl, maxBytes = 0 } = numbers
    all.set(name, { as, sealed, ttl, cacheTtl, maxBytes })
  }
  return all
}

function config(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', message)
}
