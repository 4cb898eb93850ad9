import t from 'tap'
import { postgres } from '../../plugins/postgres/database.ts'
import type { PostgresOptions } from '../../plugins/postgres/options.ts'
import { poolerOf, withoutPgbouncer } from '../fixtures/postgres/pgbouncer.ts'
import { PostgresServer, withoutPostgres } from '../fixtures/postgres/server.ts'
import { Watched } from '../fixtures/state/watched.ts'
import { until } from '../fixtures/until.ts'
import { databaseContract } from '../state/database-contract.ts'

const skip = withoutPostgres || withoutPgbouncer

t.test('PostgreSQL behind a PgBouncer that hands connections on', { skip }, async t => {
  const server = await PostgresServer.start(t)
  const url = await poolerOf(t, server)
  const behind = (options: PostgresOptions = {}) =>
    postgres({ url, transactionPooling: true, ...options })

  await t.test('it keeps what databases promise', async t => {
    t.equal(behind().watch, undefined, 'nobody could listen')
    await databaseContract(t, { make: () => behind(), isShared: true })
  })

  await t.test('servers that listen past it hear of changes', async t => {
    const make = () => behind({ listenUrl: server.url, schema: 'told' })
    await databaseContract(t, { make, isShared: true })
    const [one, other] = [make(), make()]
    for (const database of [one, other]) {
      t.teardown(() => database.close())
      await database.open()
    }
    const watcher = new Watched()
    one.watch?.(watcher)
    await until(() => watcher.isHearing)
    const value = Buffer.from('a value')
    const version = await other.compareAndSet('carts', 'ann', undefined, value, undefined)
    await until(() => watcher.floors.get('carts ann') === version)
    const [row] = await server.ask(
      `SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`,
    )
    t.equal(row?.[0], '1', 'over one connection of its own')
  })

  await t.test('who does not say that it is there is told to', async t => {
    await t.rejects(postgres({ url }).open(), {
      code: 'ERR_HANDFAST_DATABASE',
      message: /statement_timeout.*transactionPooling: true/,
    })
  })
})
