import t from 'tap'
import { Reassembly } from '../../../lib/farm/peer/reassembly.ts'
import { OutQueue } from '../../../lib/farm/sending/out-queue.ts'
import { tables } from '../../../lib/record/key.ts'
import { type CacheRecord, readRecord } from '../../../lib/record/record.ts'

function record(key: string, length: number, logical = 0): CacheRecord {
  return {
    table: tables.session,
    key: Buffer.from(key),
    value: Buffer.alloc(length),
    version: { ms: 1, logical, node: 1 },
    expiresAt: 2,
    tombstone: false,
  }
}

t.test('a second write to a key takes the place of the first', async t => {
  const queue = new OutQueue<string>({ length: 3, room: 500, perDatagram: 255 })
  const push = (record: CacheRecord, wait: string) =>
    queue.push({ record, ackRequested: false, wait })
  push(record('a', 10, 1), 'a1')
  push(record('b', 10, 1), 'b1')
  push(record('a', 20, 3), 'a3')
  push(record('a', 30, 2), 'a2')
  t.equal(queue.size, 2)
  t.equal(queue.coalesced, 2)
  const batch = queue.take()
  t.same(batch?.waits, ['a1', 'a3', 'a2', 'b1'])
  t.same(readRecord(batch?.bodies[0] ?? Buffer.alloc(0), 0), record('a', 20, 3))
  t.equal(queue.take(), undefined)
  for (const key of ['c', 'd', 'e']) push(record(key, 1), key)
  t.same(push(record('f', 1), 'f'), ['c'], 'the oldest makes room')
  push(record('f', 2, 9), 'f9')
  t.same(queue.clear(), ['d', 'e', 'f', 'f9'])
  t.equal(queue.size, 0)
})

t.test('batches fill datagrams, and a large record becomes fragments', async t => {
  const queue = new OutQueue<number>({ length: 99, room: 500, perDatagram: 255 })
  for (let i = 0; i < 5; i++)
    queue.push({ record: record(`${i}`, 177), ackRequested: i === 4, wait: i })
  t.ok(queue.full)
  t.same(queue.take()?.waits, [0, 1])
  t.same(queue.take()?.records, 2)
  t.notOk(queue.full)
  t.equal(queue.take()?.ackRequested, true)
  queue.push({ record: record('large', 1_000), ackRequested: false, wait: 7 })
  const batch = queue.take()
  t.equal(batch?.fragments, true)
  t.equal(batch?.bodies.length, 3)
  t.ok(batch?.bodies.every(body => body.length <= 500))
  const single = new OutQueue<number>({ length: 9, room: 500, perDatagram: 1 })
  for (const key of ['a', 'b'])
    single.push({ record: record(key, 1), ackRequested: false, wait: undefined })
  t.equal(single.take()?.records, 1)
})

t.test('a record is whole when its last fragment comes, in whatever order', async t => {
  const reassembly = new Reassembly()
  const part = (index: number, count = 3) => ({
    index,
    count,
    bytes: Buffer.from([index]),
  })
  t.equal(reassembly.firstIncomplete, Infinity)
  t.equal(reassembly.add(12, part(2)), undefined)
  t.equal(reassembly.firstIncomplete, 10)
  t.equal(reassembly.add(10, part(0)), undefined)
  t.equal(reassembly.add(10, part(0)), undefined, 'twice')
  t.equal(reassembly.add(11, part(1, 4)), undefined, 'another count')
  t.same(reassembly.add(11, part(1)), Buffer.from([0, 1, 2]))
  t.equal(reassembly.size, 0)
  reassembly.add(20, part(0))
  reassembly.forget(21)
  t.equal(reassembly.size, 1)
  reassembly.forget(22)
  t.equal(reassembly.size, 0)
  t.ok(reassembly.accepts(1_100, 100))
  t.notOk(reassembly.accepts(1_200, 100), 'its memory is bounded')
})
