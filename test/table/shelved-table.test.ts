import { writeSync as write } from 'node:fs'
import t, { type Test } from 'tap'
import { tables } from '../../lib/record/key.ts'
import { Shelf } from '../../lib/table/shelf/shelf.ts'
import { ShelfFiles } from '../../lib/table/shelf/shelf-files.ts'
import { ShelvedTable } from '../../lib/table/shelf/shelved-table.ts'
import { MapTable } from '../fixtures/table/map-table.ts'
import { HandClock, record, start } from '../fixtures/table/records.ts'

const key = Buffer.from('a session')
const session = record({ table: tables.session, key })
const version = { ms: start + 1, logical: 0, node: 1 }
const deletion = { ...session, version, value: Buffer.alloc(0), tombstone: true }

/** `ring`: undefined for a process for which no ring is left. */
function setUp(t: Test, ring: number | undefined) {
  const clock = new HandClock()
  const table = new ShelvedTable(new MapTable({ clock }), clock)
  const files = ShelfFiles.make(4 * 1024 * 1024, 4)
  if (files === undefined) throw new Error('no memory for files')
  let isFull = false
  const shelf = new Shelf({
    files,
    clock,
    write: (...given) => {
      if (isFull) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
      return write(...given)
    },
  })
  if (ring !== undefined) shelf.claim(ring)
  t.teardown(() => table.close())
  const fill = () => {
    isFull = true
  }
  return { table, shelf, fill, clock }
}

t.test('a process that has no ring finds what it was told', async t => {
  const { table, shelf } = setUp(t, undefined)
  table.use(shelf)
  t.equal(table.put(session), true)
  t.same(table.read(tables.session, key), session)
})

t.test('it tells how many records lie on the shelf, whoever put them there', async t => {
  const { table, shelf, clock } = setUp(t, 0)
  table.use(shelf)
  for (let n = 0; n < 40; n += 1) table.put({ ...session, key: Buffer.from(`${n}`) })
  table.put(record({ table: tables.auth, key: 'a log-in' }))
  t.equal(table.stats().records, 41)
  clock.ms = session.expiresAt + 1_000
  t.equal(table.stats().records, 1, 'not those that have expired')
})

t.test('what came before the shelf was there is found', async t => {
  const { table, shelf } = setUp(t, 0)
  table.put(session)
  table.use(shelf)
  t.same(table.read(tables.session, key), session)
})

t.test('a session that was deleted stays so on a shelf without room', async t => {
  const { table, shelf, fill } = setUp(t, 0)
  table.use(shelf)
  table.put(session)
  fill()
  t.equal(table.put(deletion), true)
  t.equal(table.read(tables.session, key)?.tombstone, true)
  t.equal(table.get(tables.session, key), undefined)
})
