import t from 'tap'
import { Pace } from '../../../lib/takeover/checkpoint/pace.ts'

const mebibyte = 2 ** 20

t.test('nothing is due for an answer that ends soon', async t => {
  const pace = new Pace(0)
  pace.changed(true, 0)
  t.equal(pace.due(0, 99), undefined)
  pace.changed(false, 99)
  t.equal(pace.due(0, 148), undefined)
  t.equal(pace.due(0, 149), 'checkpoint', 'but the connection is idle then')
  pace.told(0, 149)
  t.ok(pace.isWritten)
  t.equal(pace.due(0, 100_000), undefined, 'and stays so')
})

t.test('one that lasts is written down once, then its progress', async t => {
  const pace = new Pace(0)
  pace.changed(true, 0)
  t.equal(pace.due(0, 100), 'checkpoint')
  pace.told(0, 100)
  t.equal(pace.due(0, 1_000), undefined, 'not while nothing has come to the client')
  t.equal(pace.due(64 * mebibyte, 299), undefined, 'not too often')
  t.equal(pace.due(1, 300), 'progress')
})

t.test('a fast one is told of by bytes, a slow one by time, and rarer', async t => {
  const pace = new Pace(0)
  pace.changed(true, 0)
  pace.told(0, 0)
  // 64 MiB a second: 16 MiB every 250 ms.
  pace.told(16 * mebibyte, 250)
  t.equal(pace.due(31 * mebibyte, 490), undefined)
  t.equal(pace.due(32 * mebibyte, 490), 'progress')
  // 1 MiB in 1000 ms: its next 16 would take 16 s.
  pace.told(17 * mebibyte, 1_250)
  t.equal(pace.due(18 * mebibyte, 6_249), undefined)
  t.equal(pace.due(18 * mebibyte, 6_250), 'progress', 'no rarer than the longest')
})
