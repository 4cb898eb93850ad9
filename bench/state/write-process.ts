import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import pg from 'pg'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createState } from '../../lib/state/state.ts'
import { postgres } from '../../plugins/postgres/database.ts'
import { statementsFor } from '../../plugins/postgres/statements.ts'
import type { Writer } from './writes.ts'

export interface WriteOrder {
  readonly writer: Writer
  readonly url: string
}

const keys = 64
const atOnce = 8
const value = randomBytes(512).toString('base64')

/** Writes as many times as it is told, again and again. */
const [{ writer, url }] = (await once(process, 'message')) as [WriteOrder]
const write = writer === 'set' ? await setter() : await stater()
process.on('message', async (writes: number) => {
  let left = writes
  const began = process.cpuUsage()
  const one = async (first: number) => {
    // No key has two writes under way.
    for (let at = first; left > 0; at = (at + atOnce) % keys) {
      left -= 1
      await write(at)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, (_, first) => one(first)))
  const { user, system } = process.cpuUsage(began)
  process.send?.((user + system) / writes)
})
process.on('disconnect', () => process.exit())
process.send?.('ready')

async function setter(): Promise<(at: number) => Promise<unknown>> {
  const state = await createState({
    database: postgres({ url, connections: atOnce }),
    secret: generateSecret(),
    tables: { carts: {} },
  })
  const carts = state.table<object>('carts')
  return at => carts.set(`key${at}`, { value })
}

async function stater(): Promise<(at: number) => Promise<unknown>> {
  const database = postgres({ url, schema: 'bare' })
  await database.open()
  const bytes = Buffer.from(JSON.stringify({ value }))
  const versions = await Promise.all(
    Array.from({ length: keys }, (_, at) =>
      database.compareAndSet('carts', `key${at}`, undefined, bytes, undefined),
    ),
  )
  await database.close()
  const pool = new pg.Pool({ connectionString: url, max: atOnce })
  const { name, text } = statementsFor('bare').update
  return async at => {
    const values = ['carts', Buffer.from(`key${at}`), bytes, null, null, versions[at]]
    const { rows } = await pool.query({ name, text, values })
    versions[at] = BigInt(rows[0].version)
  }
}
