import t from 'tap'
import { RepairRing } from '../../../lib/farm/sending/repair-ring.ts'
import { maxRepairsPerNack, Repairs } from '../../../lib/farm/sending/repairs.ts'

t.test('a ring forgets by number, by bytes and by age', async t => {
  const ring = new RepairRing({ length: 4, bytes: 50, age: 100 }, 0)
  t.equal(ring.tail, 1)
  for (let sequence = 1; sequence <= 5; sequence++) {
    const tail = ring.tailAfterNext()
    ring.store(sequence, Buffer.alloc(10, sequence), sequence)
    t.equal(ring.tail, tail, 'the header that left said so')
  }
  t.equal(ring.get(1), undefined)
  t.equal(ring.get(5)?.[0], 5)
  t.equal(ring.get(6), undefined)
  ring.store(6, Buffer.alloc(35), 6)
  t.equal(ring.bytes, 45)
  t.equal(ring.tail, 5)
  ring.purge(105.5)
  t.equal(ring.tail, 6)
  ring.purge(1_000)
  t.equal(ring.tail, 7, 'one past the last')
  t.equal(ring.bytes, 0)
})

t.test('what a NACK can cost is bounded', async t => {
  const ring = new RepairRing({ length: 4_096, bytes: 1e9, age: 1e9 }, 0)
  for (let sequence = 1; sequence <= 2_000; sequence++)
    ring.store(sequence, Buffer.alloc(1), 0)
  const repairs = new Repairs(ring, 4_000)
  t.notOk(repairs.request([{ first: 1, length: 65_535 }], undefined, 10))
  t.equal(repairs.take(10).length, maxRepairsPerNack, 'for each NACK')
  repairs.request([{ first: 1, length: 64 }], undefined, 11)
  t.same(repairs.take(11), [], 'a datagram that just left is held')
  t.equal(repairs.held, 64)
  repairs.request([{ first: 1, length: 64 }], undefined, 14)
  t.ok(repairs.take(14).length < 10, 'and a quarter of the ceiling is all there is')
  t.ok(repairs.deadline(14) <= 15)
  for (let first = 100; first < 1_900; first += 64)
    repairs.request([{ first, length: 64 }], undefined, 20)
  t.ok(repairs.take(100_000).length <= 64)
  const beyond = new Repairs(new RepairRing({ length: 4, bytes: 99, age: 9 }, 50), 9)
  t.ok(beyond.request([{ first: 40, length: 1 }], undefined, 0), 'gone')
  t.notOk(beyond.request([{ first: 60, length: 1 }], undefined, 0), 'not sent yet')
})
