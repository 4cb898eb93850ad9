import t from 'tap'
import { Guardian } from '../../../lib/takeover/guardian/guardian.ts'

class Handle {
  closed = false
  close(): void {
    this.closed = true
  }
}

const bytes = Buffer.alloc(1_000)

function guardian(maxConnections = 100, maxBytes = 1_000_000) {
  return new Guardian<Handle>({ maxConnections, maxBytes, share: 0.8 })
}

t.test('what a worker leaves behind is there, and can be given to another', async t => {
  const held = guardian()
  const handle = new Handle()
  held.hold(1, 'a', 'net', bytes, handle)
  held.hold(2, 'b', 'net', bytes, new Handle())
  const later = Buffer.from('later')
  held.update(1, 'a', later)
  t.strictSame(held.of(1), [{ id: 'a', handle, checkpoint: later }])
  t.ok(held.give('a', 2))
  t.strictSame(
    held.of(2).map(({ id }) => id),
    ['a', 'b'],
  )
  held.retire(1, 'a')
  t.notOk(handle.closed, "of the dead worker's word nothing counts")
  held.retire(2, 'a')
  t.ok(handle.closed)
  t.equal(held.size, 1)
})

t.test('a connection that nobody survives is given to nobody', async t => {
  const held = guardian()
  const handle = new Handle()
  held.hold(1, 'a', 'net', bytes, handle)
  let given = 0
  for (let worker = 2; worker < 100; worker++) if (held.give('a', worker)) given++
  t.equal(given, 5)
  t.ok(handle.closed)
  const other = new Handle()
  held.hold(1, 'b', 'net', bytes, other)
  for (let worker = 2; worker < 100; worker++) {
    held.give('b', worker)
    held.update(worker, 'b', bytes)
  }
  t.notOk(other.closed, 'one that goes on each time is')
})

t.test('one client gets no more than its share of connections', async t => {
  const held = guardian(100)
  let taken = 0
  for (let i = 0; i < 200; i++) {
    const handle = new Handle()
    if (held.hold(1, `a${i}`, 'greedy', bytes, handle)) taken++
    else t.ok(handle.closed)
  }
  t.equal(taken, 80)
  t.equal(held.turnedAway, 120)
  t.ok(held.hold(1, 'b', 'modest', bytes, new Handle()))
})

t.test('nor of bytes, and what has grown too large is let go', async t => {
  const held = guardian(100, 10 * 1_024)
  const handle = new Handle()
  t.ok(held.hold(1, 'a', 'net', bytes, handle))
  held.update(1, 'a', Buffer.alloc(20 * 1_024))
  t.ok(handle.closed)
  t.equal(held.size, 0)
  t.equal(held.bytes, 0)
  t.ok(held.hold(1, 'b', 'net', Buffer.alloc(4 * 1_024), new Handle()))
})

t.test('an id is taken once', async t => {
  const held = guardian()
  const [first, second] = [new Handle(), new Handle()]
  held.hold(1, 'a', 'net', bytes, first)
  t.notOk(held.hold(2, 'a', 'net', bytes, second))
  t.ok(second.closed)
  t.notOk(first.closed)
})

t.test('who closes it closes all that it has', async t => {
  const held = guardian()
  const [first, late] = [new Handle(), new Handle()]
  held.hold(1, 'a', undefined, bytes, first)
  held.close()
  held.hold(1, 'b', undefined, bytes, late)
  t.ok(first.closed && late.closed)
})
