import t from 'tap'
import { Backed } from '../../lib/farm/backed.ts'
import { Receipts } from '../../lib/farm/placement/receipts.ts'
import type { Backing } from '../../lib/farm/transport.ts'

type Disk = { -readonly [name in keyof Backing]: number }

t.test('without a disk all that is applied may be acknowledged', async t => {
  t.equal(new Backed().upTo(7, undefined), 7)
})

t.test('what was given to a disk is acknowledged when it is there', async t => {
  const disk: Disk = { given: 3, stored: 0 }
  const backed = new Backed()
  t.equal(backed.upTo(10, disk), 0)
  disk.given = 5
  disk.stored = 2
  t.equal(backed.upTo(12, disk), 0)
  disk.stored = 3
  t.equal(backed.upTo(12, disk), 10, 'what came later waits for its own')
  disk.stored = 5
  t.equal(backed.upTo(12, disk), 12)
  t.equal(backed.upTo(15, disk), 15, 'nothing new for the disk')
})

t.test('numbers that are taken back are waited for once more', async t => {
  const disk: Disk = { given: 1, stored: 1 }
  const backed = new Backed()
  t.equal(backed.upTo(12, disk), 12)
  t.equal(backed.upTo(7, disk), 7)
  disk.given = 4
  t.equal(backed.upTo(11, disk), 7)
  t.equal(backed.upTo(9, disk), 7)
  disk.stored = 4
  t.equal(backed.upTo(9, disk), 9, 'and no more than is applied')
})

t.test('copies that were taken are acknowledged when the disk has them', async t => {
  const disk: Disk = { given: 2, stored: 0 }
  const receipts = new Receipts({ backing: disk })
  receipts.up('a')
  receipts.came('a', { count: 2, refused: [2], prompt: true }, 0)
  t.equal(receipts.deadline(0), 0)
  t.same(receipts.take(0), [])
  t.equal(receipts.deadline(0), 2, 'it looks again')
  receipts.came('a', { count: 1, refused: [3], prompt: false }, 1)
  disk.given = 3
  disk.stored = 2
  t.same(receipts.take(2), [
    { to: 'a', message: { type: 'taken', upTo: 2, refused: [2] } },
  ])
  disk.stored = 3
  t.same(receipts.take(4), [
    { to: 'a', message: { type: 'taken', upTo: 3, refused: [3] } },
  ])
  t.same(receipts.take(100), [])
  t.equal(receipts.deadline(100), Infinity)
})
