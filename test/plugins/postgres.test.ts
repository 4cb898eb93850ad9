import { inspect } from 'node:util'
import t from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import type { Database } from '../../lib/state/database.ts'
import { createState } from '../../lib/state/state.ts'
import { postgres } from '../../plugins/postgres/database.ts'
import type { PostgresOptions } from '../../plugins/postgres/options.ts'
import { freePort } from '../fixtures/free-port.ts'
import { PostgresServer, withoutPostgres } from '../fixtures/postgres/server.ts'
import { MemoryLog } from '../fixtures/proxy/servers.ts'
import { Watched } from '../fixtures/state/watched.ts'
import { until } from '../fixtures/until.ts'
import { databaseContract } from '../state/database-contract.ts'

const value = Buffer.from('a value')

t.test('PostgreSQL', { skip: withoutPostgres }, async t => {
  const server = await PostgresServer.start(t, { tls: true })
  const { url, password } = server
  const make = (options: PostgresOptions = {}) => postgres({ url, ...options })
  const opened = async (options: PostgresOptions = {}): Promise<Database> => {
    const database = make(options)
    t.teardown(() => database.close())
    await database.open()
    return database
  }

  await t.test('ten servers that start at once make the schema once', async t => {
    const servers = Array.from({ length: 10 }, () => make({ connections: 1 }))
    await Promise.all(servers.map(one => one.open()))
    await servers[0]?.compareAndSet('carts', 'ann', undefined, value, undefined)
    for (const one of servers) t.ok(await one.get('carts', 'ann'))
    t.same(await server.ask('SELECT version FROM handfast.migrations'), [[1]])
    t.same(await server.ask('SELECT count(*) FROM handfast.feed'), [['1']])
    await Promise.all(servers.map(one => one.close()))
  })

  await t.test('it keeps what databases promise', t =>
    databaseContract(t, { make, isShared: true }),
  )

  await t.test(
    'it keeps it behind a pooler, and leaves nothing in a session',
    async t => {
      const options = { schema: 'pooled', transactionPooling: true, connections: 1 }
      t.equal(make(options).watch, undefined, 'nobody could listen')
      await databaseContract(t, { make: () => make(options), isShared: true })
      const database = await opened({ ...options, url: `${url}?application_name=pooled` })
      await database.compareAndSet('carts', 'ann', undefined, value, undefined)
      t.same(
        await server.ask(`
        SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND application_name = 'pooled'`),
        [['0']],
      )
    },
  )

  for (const transactionPooling of [false, true]) {
    const where = transactionPooling ? 'behind a pooler' : 'on connections of its own'
    await t.test(`writes that come together share a commit, ${where}`, async t => {
      const schema = transactionPooling ? 'grouped pooled' : 'grouped'
      const database = await opened({ schema, transactionPooling })
      const keys = Array.from({ length: 20 }, (_, at) => `key ${at}`)
      const set = (key: string, version?: bigint) =>
        database.compareAndSet('carts', key, version, Buffer.from(key), undefined)
      const versions = await Promise.all(keys.map(key => set(key)))
      t.equal(new Set(versions).size, 20)
      const stale = keys.map((key, at) => set(key, at % 2 ? versions[at] : 1_000n))
      const next = await Promise.all(stale)
      for (const [at, key] of keys.entries()) {
        const stored = await database.get('carts', key)
        t.equal(next[at], at % 2 ? stored?.version : undefined, key)
        t.same(stored?.value, Buffer.from(key))
      }
      const text = `SELECT count(DISTINCT xmin::text) FROM "${schema}".entries`
      t.same(await server.ask(text), [['2']])
    })
  }

  await t.test('no name gets out of its place', async t => {
    const hostile = `x"; DROP SCHEMA handfast CASCADE; -- ' \\ $1  ü`
    const database = await opened({ schema: hostile })
    for (const name of [hostile, `' OR true --`, `'); SELECT pg_sleep(9); --`]) {
      const version = await database.compareAndSet(
        name,
        name,
        undefined,
        value,
        undefined,
      )
      t.equal((await database.get(name, name))?.version, version)
      t.equal(await database.expire(name, name, Date.now() + 60_000), 'earlier')
      t.equal((await database.scan(name)).entries.length, 1)
      t.equal(await database.delete(name, name), version)
    }
    t.same(await server.ask(`SELECT count(*) FROM handfast.migrations`), [['1']])
    t.equal(await hears(database, await opened({ schema: hostile })), true)
  })

  await t.test('one that comes up after the server is waited for', async t => {
    await server.kill()
    const log = new MemoryLog()
    const opening = createState({
      database: make({ schema: 'early' }),
      secret: generateSecret(),
      log,
      openBudget: 600_000,
      readBudget: 60_000,
      writeBudget: 60_000,
    })
    await until(() => log.lines.length > 0)
    await server.rise()
    const state = await opening
    await state.table('sessions').set('ann', 1)
    t.equal((await state.table('sessions').get('ann', { fresh: true }))?.value, 1)
    await state.close()
  })

  await t.test('a schema that is newer than the code is refused', async t => {
    await (await opened({ schema: 'later' })).close()
    await server.ask('INSERT INTO later.migrations VALUES (99)')
    await t.rejects(make({ schema: 'later' }).open(), {
      code: 'ERR_HANDFAST_SCHEMA',
      message: /version 99, this release knows 1/,
    })
  })

  await t.test('who may only read and write is enough when all is made', async t => {
    await server.ask(`CREATE ROLE clerk LOGIN PASSWORD 'p/w@d'`)
    const clerk = { user: 'clerk', password: 'p/w@d' }
    const { host, port, database: name } = server
    const own = { host, port, database: name, ...clerk }
    await t.rejects(postgres({ ...own, schema: 'clerks' }).open(), {
      code: 'ERR_HANDFAST_CONFIG',
      message: /permission denied/,
    })
    await (await opened({ schema: 'clerks' })).close()
    await server.ask(`
      GRANT USAGE ON SCHEMA clerks TO clerk;
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA clerks TO clerk;
      GRANT USAGE ON ALL SEQUENCES IN SCHEMA clerks TO clerk`)
    const database = postgres({ ...own, schema: 'clerks' })
    t.teardown(() => database.close())
    await database.open()
    t.ok(await database.compareAndSet('carts', 'ann', undefined, value, undefined))
  })

  await t.test('a database that may lose what it acknowledges is refused', async t => {
    await server.ask('ALTER ROLE shop SET synchronous_commit = off')
    await t.rejects(make().open(), {
      code: 'ERR_HANDFAST_CONFIG',
      message: /synchronous_commit is off/,
    })
    const database = await opened({ dangerAcceptLoss: true })
    t.equal(await database.get('carts', 'nobody'), undefined)
    await server.ask('ALTER ROLE shop RESET synchronous_commit')
  })

  await t.test('TLS is verified, and its name too', async t => {
    const { ca, port } = server
    const sslmode = `${url.replace('127.0.0.1', 'localhost')}?sslmode=require`
    await t.rejects(postgres({ url: sslmode }).open(), {
      code: 'ERR_HANDFAST_DATABASE',
      message: /self-signed|unable to verify/,
    })
    const trusted = await opened({ url: sslmode, tls: { ca } })
    t.same(await trusted.get('carts', 'nobody'), undefined)
    const [row] = await server.ask(
      'SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl',
    )
    t.not(row?.[0], '0')
    await t.rejects(make({ tls: { ca, servername: 'other.example' } }).open(), {
      message: /altnames|other.example/,
    })
    t.ok(port)
  })

  await t.test('no error, log or inspection shows a password', async t => {
    const log = new MemoryLog()
    const wrong = url.replace(password, `wrong-${password}`)
    const dead = url.replace(`:${server.port}/`, `:${await freePort()}/`)
    for (const [url, code] of [
      [wrong, 'ERR_HANDFAST_CONFIG'],
      [dead, 'ERR_HANDFAST_DATABASE'],
    ]) {
      const database = postgres({ url, log })
      const fault = await database.open().then(
        () => t.fail('it opened'),
        error => error,
      )
      t.equal(fault.code, code)
      const shown = inspect([fault, database, log], { depth: 9, showHidden: true })
      t.notMatch(shown, password)
    }
    for (const url of [`postgres://u:${password}@[bad/x`, `mysql://u:${password}@h/x`]) {
      t.throws(() => postgres({ url }), { code: 'ERR_HANDFAST_CONFIG' })
      try {
        postgres({ url })
      } catch (error) {
        t.notMatch(inspect(error, { depth: 9 }), password)
      }
    }
  })

  await t.test(
    'a statement has its time, and a write that has none is unknown',
    async t => {
      const database = await opened({ statementTimeout: 300, schema: 'slow' })
      const version = await database.compareAndSet(
        'carts',
        'ann',
        undefined,
        value,
        undefined,
      )
      const locker = server.ask(
        `BEGIN; SELECT 1 FROM slow.entries FOR UPDATE; SELECT pg_sleep(2); COMMIT`,
      )
      await until(async () => {
        const [row] = await server.ask(
          `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'`,
        )
        return row?.[0] !== '0'
      })
      await t.rejects(
        database.compareAndSet('carts', 'ann', version, Buffer.from('2'), undefined),
        { code: 'ERR_HANDFAST_DATABASE', message: /statement timeout/ },
      )
      await locker
      t.same((await database.get('carts', 'ann'))?.value, value, 'it was undone')
    },
  )

  await t.test('calls that wait for a connection have a bound', async t => {
    const database = await opened({ connections: 1, queue: 2 })
    const calls = Array.from({ length: 8 }, () => database.get('carts', 'nobody'))
    const outcomes = await Promise.allSettled(calls)
    const refused = outcomes.filter(({ status }) => status === 'rejected')
    t.ok(refused.length > 0 && refused.length < 8)
    for (const one of refused) {
      t.match(one, { reason: { code: 'ERR_HANDFAST_DATABASE', message: /2 calls wait/ } })
    }
  })

  await t.test('what has ended is taken away, by one server at a time', async t => {
    const options = { schema: 'swept', sweepInterval: 100 }
    const [database] = await Promise.all([opened(options), opened(options)])
    const past = Date.now() - 3_600_000
    for (let i = 0; i < 20; i++) {
      await database?.compareAndSet('carts', `old${i}`, undefined, value, past)
    }
    await database?.compareAndSet('carts', 'kept', undefined, value, undefined)
    await database?.compareAndSet('carts', 'later', undefined, value, Date.now() + 60_000)
    await until(async () => {
      const [row] = await server.ask('SELECT count(*) FROM swept.entries')
      return row?.[0] === '2'
    })
    t.ok(await database?.get('carts', 'kept'))
    t.ok(await database?.get('carts', 'later'))
  })

  await t.test('keys can not be read by who listens in', async t => {
    const database = await opened()
    const listener = await server.listen()
    t.teardown(() => listener.close())
    await database.compareAndSet('carts', 'a-secret-key', undefined, value, undefined)
    await until(async () => listener.heard.length > 3)
    for (const payload of listener.heard) {
      t.notMatch(Buffer.from(payload, 'base64').toString('latin1'), 'a-secret-key')
    }
  })

  await t.test('who was cut off knows it, and hears again', async t => {
    const [first, second] = [await opened(), await opened()]
    const watcher = new Watched()
    const stop = first.watch?.(watcher)
    await until(async () => watcher.isHearing)
    await server.ask(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`,
    )
    await until(async () => watcher.deafened > 0 && watcher.isHearing)
    const version = await second.compareAndSet(
      'carts',
      'eve',
      undefined,
      value,
      undefined,
    )
    await until(async () => watcher.floors.get('carts eve') === version)
    t.equal(watcher.deafened, 1)
    stop?.()
  })

  await t.test(
    'after kill -9 of the database all that was acknowledged is there',
    async t => {
      const database = await opened()
      const watcher = new Watched()
      database.watch?.(watcher)
      await until(async () => watcher.isHearing)
      const acknowledged = new Map<string, bigint>()
      let isDead = false
      const writers = Array.from({ length: 5 }, async (_, writer) => {
        for (let i = 0; !isDead; i++) {
          const key = `w${writer}-${i}`
          try {
            const version = await database.compareAndSet(
              'kill',
              key,
              undefined,
              value,
              undefined,
            )
            acknowledged.set(key, version as bigint)
          } catch (error) {
            const { code } = error as { code: string }
            t.match(code, /^ERR_HANDFAST_(DATABASE|OUTCOME_UNKNOWN)$/)
            return
          }
        }
      })
      await until(async () => acknowledged.size > 50)
      await server.kill()
      isDead = true
      await Promise.all(writers)
      await t.rejects(database.get('kill', 'w0-0'), { code: 'ERR_HANDFAST_DATABASE' })
      await t.rejects(database.compareAndSet('kill', 'x', undefined, value, undefined), {
        code: 'ERR_HANDFAST_DATABASE',
      })
      await server.rise()
      await until(async () => watcher.deafened > 0 && watcher.isHearing)
      for (const [key, version] of acknowledged) {
        t.equal((await database.get('kill', key))?.version, version, key)
      }
    },
  )
})

/** What the second changes reaches the first. */
async function hears(first: Database, second: Database): Promise<boolean> {
  const watcher = new Watched()
  const stop = first.watch?.(watcher)
  await until(async () => watcher.isHearing)
  await second.compareAndSet('heard', 'key', undefined, value, undefined)
  await until(async () => watcher.floors.has('heard key'))
  stop?.()
  return true
}
