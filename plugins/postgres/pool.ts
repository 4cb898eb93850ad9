import pg from 'pg'
import { HandfastError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import type { Call, Outcome, Row, Run, Statement, Value } from './call.ts'
import type { ConnectionSettings } from './connection-settings.ts'
import { messageOf, refused, unavailable, undone, unknown } from './fault.ts'
import { Pipeline } from './pipeline.ts'

export interface PoolParts {
  readonly settings: ConnectionSettings
  /** Of the connection that listens. */
  readonly listenSettings: ConnectionSettings
  readonly connections: number
  readonly queue: number
  readonly connectTimeout: number
  readonly statementTimeout: number
  readonly lockTimeout: number
  readonly transactionPooling: boolean
  readonly log: Log
}

/** Nothing is asked, and that it was is answered. */
const nothing: Statement = { name: '', text: '' }

/** Of a transaction: how long a statement may wait for a lock, and take. */
const limits: Statement = {
  name: 'handfast_limits',
  text: `SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)`,
}

/** A connection that is nobody else's. */
export interface Listening {
  close(): void
}

/** Connections to PostgreSQL, as many as it may have, and the only place that knows `pg`. */
export class Pool {
  readonly #parts: PoolParts
  readonly #pool: pg.Pool

  constructor(parts: PoolParts) {
    this.#parts = parts
    this.#pool = new pg.Pool({
      ...this.#config(),
      max: parts.connections,
      idleTimeoutMillis: 30_000,
      allowExitOnIdle: true,
    })
    // Who uses one that breaks is told by the call; the event would end the process.
    this.#pool.on('connect', client => client.on('error', () => {}))
    // One that nobody uses has ended; the next call makes another.
    this.#pool.on('error', error => parts.log.debug(told(error), 'a connection ended'))
  }

  /**
   * One statement, which is a transaction of its own. Rejects with ERR_HANDFAST_DATABASE where
   * nothing was changed, and with ERR_HANDFAST_OUTCOME_UNKNOWN where nobody knows.
   */
  async run(statement: Statement, values: readonly Value[]): Promise<Row[]> {
    const client = await this.#connect()
    return await new Promise(resolve => {
      this.#query(client, statement, values, (error, rows) => {
        if (error !== undefined) return resolve(this.#fail(client, error))
        client.release()
        resolve(rows)
      })
    })
  }

  /**
   * Several statements as one transaction, on one way there and back; what they give comes as
   * texts. Rejects with ERR_HANDFAST_DATABASE where there was no connection, and with
   * ERR_HANDFAST_OUTCOME_UNKNOWN. `lockTimeout`: of these, in ms.
   */
  async runTogether(calls: readonly Call[], lockTimeout?: number): Promise<Outcome> {
    const client = await this.#connect()
    const { transactionPooling } = this.#parts
    const first =
      lockTimeout !== undefined || transactionPooling ? [this.#limits(lockTimeout)] : []
    return await new Promise((resolve, reject) => {
      const done = (error?: Error) => {
        const rows = pipeline.rows.slice(first.length)
        if (error === undefined) {
          client.release()
          resolve({ rows })
          return
        }
        const undoneAt = (fault: HandfastError) => resolve({ fault, at: rows.length })
        this.#failed(client, error, pipeline.hasPrepared).then(undoneAt, reject)
      }
      const pipeline = new Pipeline([...first, ...calls], !transactionPooling, done)
      client.query(pipeline as unknown as pg.Submittable)
    })
  }

  /** The same for what changes nothing: then nothing is unknown about its outcome. */
  async ask(statement: Statement, values: readonly Value[]): Promise<Row[]> {
    try {
      return await this.run(statement, values)
    } catch (error) {
      if (error instanceof HandfastError && error.code === 'ERR_HANDFAST_DATABASE')
        throw error
      throw new HandfastError('ERR_HANDFAST_DATABASE', (error as Error).message)
    }
  }

  /** Several, of which all are done or none; `timeout` in milliseconds is that of each. */
  async transaction(timeout: number, work: (run: Run) => Promise<void>): Promise<void> {
    const client = await this.#connect()
    const run: Run = (statement, values) =>
      new Promise((resolve, reject) => {
        this.#query(client, statement, values, (error, rows) => {
          if (error === undefined) resolve(rows)
          else reject(undone(error))
        })
      })
    const say = (text: string) => run({ name: '', text }, [])
    let fault: unknown
    try {
      await say('BEGIN')
      for (const limit of ['statement_timeout', 'lock_timeout'])
        await say(`SET LOCAL ${limit} = ${timeout}`)
      await work(run)
      await say('COMMIT')
    } catch (error) {
      fault = error
      throw error
    } finally {
      // Its end rolls back what was begun.
      client.release(fault !== undefined)
    }
  }

  /** Listens on a channel. Resolves when nothing can be missed any more; from then on
   * `lost` is called once. */
  async listen(
    channel: string,
    heard: (payload: string) => void,
    lost: () => void,
  ): Promise<Listening> {
    const { listenSettings } = this.#parts
    const client = new pg.Client({ ...this.#config(listenSettings), keepAlive: true })
    let isOver = false
    let isListening = false
    const close = () => {
      if (isOver) return
      isOver = true
      client.end().catch(() => {})
      if (isListening) lost()
    }
    client.on('error', close)
    client.on('end', close)
    client.on('notification', ({ channel: from, payload }) => {
      if (!isOver && from === channel && payload !== undefined) heard(payload)
    })
    try {
      await client.connect()
      await client.query(`LISTEN ${quoteName(channel)}`)
      // It can have ended with the words by which it says that it listens.
      if (isOver) throw unavailable('the connection was lost')
    } catch (error) {
      close()
      throw undone(error)
    }
    isListening = true
    // It keeps no process alive; the types do not know it.
    ;(client as unknown as { unref(): void }).unref()
    return { close }
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  async #connect(): Promise<pg.PoolClient> {
    if (this.#pool.waitingCount >= this.#parts.queue) {
      throw unavailable(`${this.#parts.queue} calls wait for a connection already`)
    }
    try {
      return await this.#pool.connect()
    } catch (error) {
      throw undone(error)
    }
  }

  #query(
    client: pg.PoolClient,
    { name, text }: Statement,
    values: readonly Value[],
    done: (error: Error | undefined, rows: Row[]) => void,
  ): void {
    const prepared = name !== '' && !this.#parts.transactionPooling
    const query = {
      text,
      values: [...values],
      rowMode: 'array',
      ...(prepared && { name }),
    }
    void client.query(query as unknown as pg.QueryArrayConfig, (error, result) =>
      done(error ?? undefined, result?.rows as Row[]),
    )
  }

  /**
   * PostgreSQL goes on after a statement that it has undone, and ends the connection where it can
   * not: so whoever still gets an answer there knows that nothing was changed. Its word for how
   * bad it is doesn't tell, for that comes in the language of the server. Resolves with the error of
   * what was undone, and rejects where nobody knows. `isSpoilt`: the connection is not used again.
   */
  async #failed(
    client: pg.PoolClient,
    error: Error,
    isSpoilt = false,
  ): Promise<HandfastError> {
    const goesOn =
      error instanceof pg.DatabaseError &&
      (await new Promise<boolean>(resolve => {
        this.#query(client, nothing, [], failure => resolve(failure === undefined))
      }))
    client.release(isSpoilt || !goesOn)
    if (goesOn) return refused(error)
    throw unknown(error)
  }

  async #fail(client: pg.PoolClient, error: Error): Promise<never> {
    throw await this.#failed(client, error)
  }

  /** A pooler's connections have none of their own. */
  #limits(lockTimeout = this.#parts.lockTimeout): Call {
    const values = [`${lockTimeout}ms`, `${this.#parts.statementTimeout}ms`]
    return { statement: limits, values }
  }

  #config(settings = this.#parts.settings): pg.ClientConfig {
    const { connectTimeout, statementTimeout, lockTimeout } = this.#parts
    const { host, port, user, password, database, tls, applicationName } = settings
    return {
      host,
      ...(port !== undefined && { port }),
      ...(user !== undefined && { user }),
      ...(password !== undefined && { password }),
      ...(database !== undefined && { database }),
      ssl: tls === false ? false : definedOf({ ...tls }),
      application_name: applicationName,
      connectionTimeoutMillis: connectTimeout,
      // The server ends it; should the server be silent, this side does.
      query_timeout: statementTimeout + 1_000,
      ...(!this.#parts.transactionPooling && {
        statement_timeout: statementTimeout,
        lock_timeout: lockTimeout,
      }),
    }
  }
}

/** As SQL writes a name that may have any character. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function told(error: Error): object {
  return { error: messageOf(error) }
}

function definedOf<T extends object>(values: T): T {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as T
}
