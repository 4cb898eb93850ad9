import { randomBytes } from 'node:crypto'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { HandfastError } from '../../lib/errors.ts'
import { type Log, silentLog } from '../../lib/log.ts'
import {
  type ChangeWatcher,
  type Database,
  type EndMove,
  RefusedByDatabase,
  type ScannedEntry,
  type ScanPage,
  type Stored,
} from '../../lib/state/database.ts'
import { Feed } from '../../lib/state/feed/feed.ts'
import { feedKeyLength } from '../../lib/state/feed/feed-message.ts'
import type { ToldChange } from '../../lib/state/feed/feed-sender.ts'
import { type Command, RefusedByRedis, type Reply } from './client.ts'
import {
  endEntry,
  entryHeaderLength,
  readEntry,
  removeEntry,
  writeEntry,
} from './database-scripts.ts'
import { checkKeeps } from './durability.ts'
import { FeedListener } from './feed-listener.ts'
import { Masters } from './masters.ts'
import { type RedisOptions, redisSetup } from './options.ts'
import type { Script } from './script.ts'

const schemaVersion = 1
/** Bytes of a message of the change feed, and how many of them are kept. */
const mostOfMessage = 4_096
const keptMessages = 1_000
/** What it says to one caller as to all. */
const troubles =
  /^(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOAUTH|NOREPLICAS|READONLY|UNKILLABLE)?$/
const none = Buffer.alloc(0)

export interface RedisDatabaseOptions extends RedisOptions {
  /**
   * Opens a server that keeps nothing on disk, or that evicts what has no end, and so may lose what
   * it has acknowledged. Default false.
   */
  readonly dangerAcceptLoss?: boolean | undefined
  /** Default: nothing is logged. */
  readonly log?: Log | undefined
  /** In place of the system's. */
  readonly clock?: Clock | undefined
}

/**
 * State in Redis (6.2 or later) or Valkey, for `createState({ database: redisDatabase({ url }) })`.
 * As durable as its `appendonly`, `appendfsync` and `replicas` make it. Throws
 * ERR_HANDFAST_CONFIG for a bad option.
 */
export function redisDatabase(options: RedisDatabaseOptions = {}): Database {
  return new RedisDatabase(options)
}

class RedisDatabase implements Database {
  readonly name = 'redis'
  readonly reach = 'network'
  readonly #masters: Masters
  readonly #clock: Clock
  readonly #log: Log
  readonly #prefix: string
  readonly #budget: number
  readonly #dangerAcceptLoss: boolean
  #feed: Feed | undefined
  #closed = false

  constructor(options: RedisDatabaseOptions) {
    const { dangerAcceptLoss = false, log, clock, ...rest } = options
    const setup = redisSetup(rest)
    this.#clock = clock ?? systemClock
    this.#log = (log ?? silentLog).child({ database: 'redis' })
    this.#prefix = `${setup.prefix}:state:`
    this.#budget = setup.connectTimeout + setup.commandTimeout
    this.#dangerAcceptLoss = dangerAcceptLoss
    this.#masters = new Masters(setup, this.#clock, this.#log)
  }

  async open(): Promise<void> {
    try {
      await this.#masters.open()
    } catch (error) {
      // Redis refuses us, or the options are wrong: it would again.
      throw new HandfastError('ERR_HANDFAST_CONFIG', messageOf(error))
    }
    if (!this.#dangerAcceptLoss) {
      for (let shard = 0; shard < this.#masters.shardCount; shard++) {
        checkKeeps(String(await this.#askShard(shard, ['INFO'])))
      }
    }
    const meta = `${this.#prefix}meta`
    const drawn = randomBytes(feedKeyLength)
    await this.#ask(meta, ['HSETNX', meta, 'schema', String(schemaVersion)])
    await this.#ask(meta, ['HSETNX', meta, 'feed', drawn])
    const schema = Number(await this.#ask(meta, ['HGET', meta, 'schema']))
    if (schema > schemaVersion) {
      throw new HandfastError(
        'ERR_HANDFAST_SCHEMA',
        `redis: the entries have version ${schema}, this release knows ${schemaVersion}; use a later release`,
      )
    }
    const key = (await this.#ask(meta, ['HGET', meta, 'feed'])) as Buffer
    const stream = `${this.#prefix}feed`
    const [masters, clock, log] = [this.#masters, this.#clock, this.#log]
    this.#feed = new Feed({
      key,
      clock,
      maxBytes: mostOfMessage,
      publish: message =>
        masters.call(
          stream,
          ['XADD', stream, 'MAXLEN', '~', String(keptMessages), '*', 'm', message],
          { budget: this.#budget, isPatient: !this.#closed },
        ),
      listen: receiver => new FeedListener({ masters, stream, clock, log, receiver }),
    })
    await this.#feed.open()
  }

  async get(table: string, key: string): Promise<Stored | undefined> {
    const reply = await this.#answer(() =>
      this.#masters.run(readEntry, [this.#placeOf(table, key)], [], {
        budget: this.#budget,
        isPatient: true,
      }),
    )
    return Buffer.isBuffer(reply) ? stored(reply) : undefined
  }

  async compareAndSet(
    table: string,
    key: string,
    expected: bigint | undefined,
    value: Buffer,
    expiresAt: number | undefined,
  ): Promise<bigint | undefined> {
    const values = [packed(expected), value, endOf(expiresAt)]
    return await this.#change({ table, key, before: expected ?? 0n }, () =>
      this.#write(writeEntry, table, key, values),
    )
  }

  async delete(
    table: string,
    key: string,
    expected?: bigint,
  ): Promise<bigint | undefined> {
    return await this.#change({ table, key, before: expected, removes: true }, () =>
      this.#write(removeEntry, table, key, [packed(expected)]),
    )
  }

  async expire(
    table: string,
    key: string,
    expiresAt: number | undefined,
  ): Promise<EndMove | undefined> {
    const move = async () => {
      const reply = await this.#write(endEntry, table, key, [endOf(expiresAt)])
      return reply === 0 ? undefined : reply === 2 ? 'earlier' : 'later'
    }
    return await (this.#feed?.tellEnd(table, key, move) ?? move())
  }

  /**
   * In the order of Redis' own walk, one master after the other; the cursor is `master.cursor`. A
   * cluster whose slots move meanwhile may show an entry twice, or not.
   */
  async scan(table: string, cursor = '0.0', limit = 100): Promise<ScanPage> {
    const [shard = 0, at = '0'] = cursor.split('.').map((part, i) => (i ? part : +part))
    const start = this.#placeOf(table, '')
    const reply = (await this.#askShard(Number(shard), [
      ...['SCAN', String(at), 'MATCH', `${start}*`, 'COUNT', String(limit)],
    ])) as readonly [Buffer, readonly Buffer[]]
    const [next, places] = [String(reply[0]), [...new Set(reply[1].map(String))]]
    const found = await Promise.all(
      places.map(async place => {
        const key = decodeURIComponent(place.slice(start.length))
        const entry = await this.get(table, key)
        return entry && { key, ...entry }
      }),
    )
    const isLast = next === '0' && Number(shard) + 1 >= this.#masters.shardCount
    const following = next === '0' ? `${Number(shard) + 1}.0` : `${shard}.${next}`
    return {
      entries: found.filter((entry): entry is ScannedEntry => entry !== undefined),
      next: isLast ? undefined : following,
    }
  }

  watch(watcher: ChangeWatcher): () => void {
    return this.#feed?.watch(watcher) ?? (() => {})
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#feed?.close()
    this.#masters.close()
  }

  /** All of ASCII, for the slot of a key is that of its bytes; braces would put many in one. */
  #placeOf(table: string, key: string): string {
    const name = key.replaceAll(/[^!-~]|[%{}]/gu, sign =>
      Buffer.from(sign).toString('hex').replaceAll(/../g, '%$&'),
    )
    return `${this.#prefix}${table}/${name}`
  }

  async #change(
    change: ToldChange,
    write: () => Promise<Reply>,
  ): Promise<bigint | undefined> {
    const make = async () => versionIn(await write())
    return await (this.#feed?.tell(change, make) ?? make())
  }

  /** Rejects with ERR_HANDFAST_DATABASE where nothing was changed, for certain. */
  async #write(
    what: Script,
    table: string,
    key: string,
    values: Command,
  ): Promise<Reply> {
    if (this.#closed) throw closed()
    const keys = [this.#placeOf(table, key)]
    try {
      const written = await this.#masters.write(what, keys, values, {
        budget: this.#budget,
      })
      if (written.isAcknowledged || written.reply === null) return written.reply
    } catch (error) {
      // UNBLOCKED is said of the wait for replicas: then it was written.
      const isRefused = error instanceof RefusedByRedis && error.code !== 'UNBLOCKED'
      if (isRefused) throw unavailable(error)
      throw unknown(messageOf(error))
    }
    throw unknown('not as many replicas have it as are asked for')
  }

  #ask(key: string, command: Command): Promise<Reply> {
    const terms = { budget: this.#budget, isPatient: true }
    return this.#answer(() => this.#masters.call(key, command, terms))
  }

  #askShard(shard: number, command: Command): Promise<Reply> {
    return this.#answer(() => this.#masters.callShard(shard, command, this.#budget))
  }

  async #answer(call: () => Promise<Reply>): Promise<Reply> {
    if (this.#closed) throw closed()
    try {
      return await call()
    } catch (error) {
      throw unavailable(error)
    }
  }
}

function stored(bytes: Buffer): Stored {
  const ends = Number(bytes.readBigUInt64BE(8))
  return {
    value: bytes.subarray(entryHeaderLength),
    version: bytes.readBigUInt64BE(0),
    expiresAt: ends === 0 ? undefined : ends,
  }
}

function packed(version: bigint | undefined): Buffer {
  if (version === undefined) return none
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(version)
  return bytes
}

function versionIn(reply: Reply): bigint | undefined {
  return Buffer.isBuffer(reply) ? reply.readBigUInt64BE(0) : undefined
}

/** 1 is an end long ago. */
function endOf(expiresAt: number | undefined): string {
  return expiresAt === undefined ? '0' : String(Math.max(1, Math.ceil(expiresAt)))
}

function unavailable(error: unknown): HandfastError {
  if (error instanceof RefusedByRedis && error.code === 'OOM') {
    return new HandfastError('ERR_HANDFAST_DATABASE_FULL', 'Redis has no memory left')
  }
  if (error instanceof RefusedByRedis && !troubles.test(error.code)) {
    return new RefusedByDatabase(messageOf(error))
  }
  return new HandfastError('ERR_HANDFAST_DATABASE', messageOf(error))
}

function unknown(why: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_OUTCOME_UNKNOWN', why)
}

function closed(): HandfastError {
  return new HandfastError('ERR_HANDFAST_CLOSED', 'the database is closed')
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'Redis gave no answer'
}
