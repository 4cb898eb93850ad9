import { connect, createServer } from 'node:net'
import t, { type Test } from 'tap'
import { postgres } from '../../plugins/postgres/database.ts'
import { PostgresServer, withoutPostgres } from '../fixtures/postgres/server.ts'
import { until } from '../fixtures/until.ts'

const value = Buffer.from('a value')

t.test('what became of a change', { skip: withoutPostgres }, async t => {
  const server = await PostgresServer.start(t)
  // ERROR is a word of the language that the server speaks, and so is FATAL.
  const words = { ERROR: 'FEHLR', FATAL: 'ERROR' }
  const url = server.url.replace(
    `:${server.port}/`,
    `:${await translator(t, server.port, words)}/`,
  )
  const database = postgres({ url, statementTimeout: 60_000 })
  t.teardown(() => database.close())
  await database.open()
  const set = (key: string) =>
    database.compareAndSet('carts', key, undefined, value, undefined)

  await t.test('is known where the server goes on, in any language', async t => {
    await server.ask(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'no' USING ERRCODE = CASE convert_from(NEW.key, 'UTF8')
          WHEN 'full' THEN '53100' ELSE 'XX000' END;
      END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON handfast.entries
        FOR EACH ROW WHEN (NEW.key IN ('full', 'broken')) EXECUTE FUNCTION refuse()`)
    await t.rejects(set('full'), { code: 'ERR_HANDFAST_DATABASE_FULL' })
    await t.rejects(set('broken'), { code: 'ERR_HANDFAST_DATABASE', message: /XX000/ })
    t.ok(await set('ann'))
  })

  await t.test('is known of each of those that were to be one transaction', async t => {
    const [broken, one, full, two] = await Promise.allSettled(
      ['broken', 'one', 'full', 'two'].map(set),
    )
    t.match(broken, { reason: { code: 'ERR_HANDFAST_DATABASE', message: /XX000/ } })
    t.match(full, { reason: { code: 'ERR_HANDFAST_DATABASE_FULL' } })
    for (const [key, outcome] of Object.entries({ one, two })) {
      const version = (await database.get('carts', key))?.version
      t.match(outcome, { status: 'fulfilled', value: version })
    }
    t.equal(await database.get('carts', 'broken'), undefined)
  })

  await t.test('is not where it ends the connection, whatever it calls that', async t => {
    const holder = `FROM pg_stat_activity WHERE wait_event = 'PgSleep'`
    const waiter = `FROM pg_stat_activity WHERE wait_event_type = 'Lock'`
    const isThere = async (who: string) =>
      (await server.ask(`SELECT 1 ${who}`)).length > 0
    const end = (who: string) => server.ask(`SELECT pg_terminate_backend(pid) ${who}`)
    const lock = 'BEGIN; LOCK handfast.entries; SELECT pg_sleep(600)'
    const held = server.ask(lock).catch(() => {})
    await until(() => isThere(holder))
    const change = set('bob').catch(error => error)
    await until(() => isThere(waiter))
    await end(waiter)
    t.match(await change, { code: 'ERR_HANDFAST_OUTCOME_UNKNOWN', message: /57P01/ })
    await end(holder)
    await held
    t.ok(await set('eve'), 'the next call has another connection')
  })
})

/** Passes on what a server says, with other words of as many letters; its port. */
async function translator(
  t: Test,
  port: number,
  words: Readonly<Record<string, string>>,
): Promise<number> {
  const relay = createServer(client => {
    const behind = connect({ host: '127.0.0.1', port })
    for (const socket of [client, behind]) socket.on('error', () => {})
    client.pipe(behind)
    behind.on('data', bytes => {
      const text = bytes.toString('latin1')
      const said = text.replace(/S([A-Z]{5})\0V/g, (all, word) =>
        all.replace(word, words[word] ?? word),
      )
      client.write(said, 'latin1')
    })
    behind.on('end', () => client.end())
    client.on('close', () => behind.destroy())
  })
  relay.listen(0, '127.0.0.1')
  await new Promise(resolve => relay.once('listening', resolve))
  t.teardown(() => relay.close())
  return (relay.address() as { port: number }).port
}
