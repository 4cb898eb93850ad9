import t, { type Test } from 'tap'
import type { Database } from '../../lib/state/database.ts'
import { postgres } from '../../plugins/postgres/database.ts'
import type { PostgresOptions } from '../../plugins/postgres/options.ts'
import { poolerOf, withoutPgbouncer } from '../fixtures/postgres/pgbouncer.ts'
import { PostgresServer, withoutPostgres } from '../fixtures/postgres/server.ts'
import { until } from '../fixtures/until.ts'

const value = Buffer.from('a value')
/** As long as the test takes. */
const patience = 600_000
const names = Array.from({ length: 40 }, (_, at) => `key ${at}`)

t.test('entries that somebody keeps locked', { skip: withoutPostgres }, async t => {
  const server = await PostgresServer.start(t)
  const opened = async (t: Test, options: PostgresOptions = {}) => {
    const database = postgres({ url: server.url, statementTimeout: patience, ...options })
    t.teardown(() => database.close())
    await database.open()
    return database
  }
  const lock = (key: string) =>
    server.hold(`SELECT 1 FROM handfast.entries WHERE key = '${key}' FOR UPDATE`)
  const waits = async (text = '%', count = 1) =>
    until(async () => {
      const [row] = await server.ask(
        `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1`,
        [text],
      )
      return Number(row?.[0]) >= count
    })

  await t.test('make nobody wait but those who change them', async t => {
    const database = await opened(t, { lockTimeout: patience })
    await Promise.all(names.map(name => set(database, 'one', name)))
    const held = await lock('key 7')
    let isOver = false
    const rest: Promise<unknown>[] = []
    for (const name of names) {
      const version = (await database.get('one', name))?.version as bigint
      const change = set(database, 'one', name, version)
      if (name !== 'key 7') rest.push(change)
      else
        void change.then(version => {
          isOver = version !== undefined
        })
    }
    t.equal((await Promise.all(rest)).length, names.length - 1)
    t.notOk(isOver, 'while it is locked')
    await held.release()
    await until(() => isOver)
  })

  await t.test('cost one connection each, however many change them', async t => {
    const database = await opened(t, {
      lockTimeout: patience,
      connectTimeout: patience,
      connections: 4,
    })
    const version = (await set(database, 'many', 'locked')) as bigint
    const held = await lock('locked')
    const many = Promise.allSettled(
      names.flatMap((_, at) => [
        set(database, 'many', 'locked', version + BigInt(at)),
        database.expire('many', 'locked', Date.now() + patience),
        database.delete('many', 'locked', 1n),
      ]),
    )
    await waits('%SET value%')
    await waits('%ended_at%')
    for (const name of names) {
      await set(database, 'many', name)
      t.ok(await database.get('many', name))
      t.ok(await database.expire('many', name, Date.now() + patience))
    }
    await held.release()
    const outcomes = await many
    t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 120)
  })

  await t.test('are refused after lockTimeout, and then nothing was changed', async t => {
    const database = await opened(t, { lockTimeout: 200 })
    const version = await set(database, 'soon', 'bob')
    const held = await lock('bob')
    const late = (call: Promise<unknown>) =>
      t.rejects(call, { code: 'ERR_HANDFAST_DATABASE', message: /55P03/ })
    await late(set(database, 'soon', 'bob', version))
    await late(database.expire('soon', 'bob', 1))
    await late(database.delete('soon', 'bob'))
    await held.release()
    t.match(await database.get('soon', 'bob'), { version, expiresAt: undefined })
  })

  await t.test('or a whole table of them, leave it to be read', async t => {
    const database = await opened(t, { lockTimeout: 200, connections: 4 })
    await set(database, 'whole', 'ann')
    const held = await server.hold('LOCK handfast.entries IN SHARE MODE')
    const changes = Promise.allSettled(names.map(name => set(database, 'whole', name)))
    await waits()
    for (const _ of names) t.ok(await database.get('whole', 'ann'))
    for (const { status } of await changes) t.equal(status, 'rejected')
    await held.release()
    t.ok(await set(database, 'whole', 'bob'))
  })

  await t.test(
    'behind a pooler are no different',
    { skip: withoutPgbouncer },
    async t => {
      const url = await poolerOf(t, server)
      const options = { url, transactionPooling: true, lockTimeout: 200 }
      const database = await opened(t, options)
      const version = await set(database, 'pooled', 'locked')
      const held = await lock('locked')
      const changes = ['locked', ...names].map(name =>
        set(database, 'pooled', name, name === 'locked' ? version : undefined),
      )
      const [locked, ...rest] = await Promise.allSettled(changes)
      t.match(locked, { reason: { code: 'ERR_HANDFAST_DATABASE', message: /55P03/ } })
      for (const outcome of rest) t.equal(outcome.status, 'fulfilled')
      await held.release()
      t.equal((await database.get('pooled', 'locked'))?.version, version)
    },
  )
})

t.test(
  'a write that is refused, for whatever reason',
  { skip: withoutPostgres },
  async t => {
    const server = await PostgresServer.start(t)
    const database = postgres({ url: server.url, statementTimeout: patience })
    t.teardown(() => database.close())
    await database.open()
    await server.ask(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      RAISE EXCEPTION 'no' USING ERRCODE = substr(convert_from(NEW.key, 'UTF8'), 5);
    END $$;
    CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      PERFORM pg_terminate_backend(pg_backend_pid());
      RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON handfast.entries FOR EACH ROW
      WHEN (convert_from(NEW.key, 'UTF8') LIKE 'now %') EXECUTE FUNCTION refuse();
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON handfast.entries
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
      WHEN (convert_from(NEW.key, 'UTF8') LIKE 'end %') EXECUTE FUNCTION refuse();
    CREATE TRIGGER stop BEFORE INSERT ON handfast.entries FOR EACH ROW
      WHEN (NEW.key = 'stop') EXECUTE FUNCTION stop();
    ALTER TABLE handfast.entries ADD CHECK (length(value) < 10000)`)

    const codes = ['40P01', '40001', '57014', '23505', '54000', 'P0001', '25P02']
    for (const when of ['now', 'end']) {
      await t.test(`spoils no other, when the ${when} refuses it`, async t => {
        const bad = codes.map(code => `${when} ${code}`)
        const keys = names.flatMap((name, at) => [name, ...(bad[at] ? [bad[at]] : [])])
        const outcomes = await Promise.allSettled(
          keys.map(key => set(database, when, key)),
        )
        for (const [at, outcome] of outcomes.entries()) {
          const key = keys[at] as string
          const stored = await database.get(when, key)
          const [, code] = /^(?:now|end) (.*)/.exec(key) ?? []
          if (code === undefined) t.match(outcome, { value: stored?.version }, key)
          else {
            t.equal(stored, undefined, key)
            const message = new RegExp(code)
            t.match(outcome, { reason: { code: 'ERR_HANDFAST_DATABASE', message } })
          }
        }
        const [row] = await server.ask(
          'SELECT count(*), count(DISTINCT version) FROM handfast.entries WHERE tab = $1',
          [when],
        )
        t.same(row, ['40', '40'], 'nothing twice')
      })
    }

    await t.test('for its size spoils none', async t => {
      const large = Buffer.alloc(20_000)
      const outcomes = await Promise.allSettled(
        names.map((name, at) =>
          set(database, 'size', name, undefined, at % 9 ? value : large),
        ),
      )
      for (const [at, { status }] of outcomes.entries()) {
        t.equal(status, at % 9 ? 'fulfilled' : 'rejected')
      }
    })

    await t.test(
      'and takes the connection with it, leaves nothing half done',
      async t => {
        const outcomes = await Promise.allSettled(
          ['stop', ...names].map(name => set(database, 'stop', name)),
        )
        for (const [at, name] of ['stop', ...names].entries()) {
          const version = (await database.get('stop', name))?.version
          const outcome = outcomes[at] as PromiseSettledResult<bigint>
          if (outcome.status === 'fulfilled') t.equal(outcome.value, version, name)
          else {
            t.equal(version, undefined, name)
            t.equal(outcome.reason.code, 'ERR_HANDFAST_OUTCOME_UNKNOWN')
          }
        }
        t.ok(await set(database, 'stop', 'after it'))
      },
    )

    for (const isolation of ['repeatable read', 'serializable']) {
      await t.test(`loses nothing where transactions are ${isolation}`, async t => {
        await server.ask(
          `ALTER ROLE shop SET default_transaction_isolation = '${isolation}'`,
        )
        t.teardown(() =>
          server.ask('ALTER ROLE shop RESET default_transaction_isolation'),
        )
        const servers = [postgres({ url: server.url }), postgres({ url: server.url })]
        for (const one of servers) {
          t.teardown(() => one.close())
          await one.open()
        }
        const some = names.slice(0, 8)
        const acknowledged = new Map<string, number>()
        const count = async (one: Database, key: string): Promise<void> => {
          const stored = await one.get(isolation, key)
          const next = Buffer.from(String(Number(stored?.value ?? 0) + 1))
          const version = await set(one, isolation, key, stored?.version, next).catch(
            error => {
              t.match(error, { code: 'ERR_HANDFAST_DATABASE', message: /40001/ })
              return undefined
            },
          )
          if (version === undefined) return
          acknowledged.set(key, (acknowledged.get(key) ?? 0) + 1)
        }
        for (let round = 0; round < 10; round += 1) {
          await Promise.all(servers.flatMap(one => some.map(key => count(one, key))))
        }
        for (const key of some) {
          const stored = await servers[0]?.get(isolation, key)
          t.equal(Number(stored?.value), acknowledged.get(key), key)
        }
      })
    }
  },
)

function set(
  database: Database,
  table: string,
  key: string,
  version?: bigint,
  bytes: Buffer = value,
): Promise<bigint | undefined> {
  return database.compareAndSet(table, key, version, bytes, undefined)
}
