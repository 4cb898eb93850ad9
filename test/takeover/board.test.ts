import t from 'tap'
import { Cache } from '../../lib/cache/cache.ts'
import { systemClock } from '../../lib/clock.ts'
import { HybridClock } from '../../lib/record/hybrid-clock.ts'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { OffHeapTable } from '../../lib/table/off-heap-table.ts'
import { TakeoverBoard } from '../../lib/takeover/host/board/board.ts'
import { ConnectionTable } from '../../lib/takeover/host/board/connection-table.ts'
import type { Beat } from '../../lib/takeover/host/election/heartbeats.ts'

const key = Buffer.alloc(32, 7)
const id = Buffer.alloc(16, 1)

/** Two members; what the one writes is applied by the other. */
function pair(otherKey = key) {
  const clock = systemClock
  const cacheOf = (node: number) => {
    const table = new OffHeapTable({ clock, maxBytes: 2 ** 22 })
    return new Cache({ table, versions: new HybridClock(clock, node), clock })
  }
  const [caches, beats, written] = [
    [cacheOf(1), cacheOf(2)],
    [] as Beat[],
    [] as CacheRecord[],
  ]
  const [one, two] = caches as [Cache, Cache]
  one.watch(tables.connection, record => {
    written.push(record)
    two.apply(record)
  })
  const onStranger = () => t.fail('a stranger')
  const a = new TakeoverBoard(new ConnectionTable(one, key, 'a'), clock, {
    onBeat: () => t.fail('its own word'),
    onStranger,
  })
  const b = new TakeoverBoard(new ConnectionTable(two, otherKey, 'b'), clock, {
    onBeat: beat => beats.push(beat),
    onStranger,
  })
  return { a, b, beats, written, two }
}

t.test('a member hears of the other, and of its connections', async t => {
  const { a, b, beats } = pair()
  const said = {
    member: 'a',
    holds: [{ address: '10.0.0.100', epoch: 3 }],
    takes: [],
    votes: [],
    home: '10.0.0.100',
    isLeaving: true,
  }
  a.beat(said)
  t.strictSame(beats, [said])
  a.write(id, [{ id, acked: 2 ** 40, checkpoint: Buffer.from('a checkpoint') }])
  t.match(b.of('a'), [{ acked: 2 ** 40, checkpoint: Buffer.from('a checkpoint') }])
  a.progress(new Map([[id.toString('hex'), 2 ** 40 + 5]]))
  t.match(b.of('a'), [{ acked: 2 ** 40 + 5 }])
  a.write(id, [])
  t.strictSame(b.of('a'), [])
  a.write(id, [{ id, acked: 0, checkpoint: Buffer.from('another') }])
  b.forget('a')
  t.strictSame(b.of('a'), [])
})

t.test('nothing of it stands anywhere in clear', async t => {
  const { a, written } = pair()
  a.beat({ member: 'member a', holds: [], takes: [], votes: [] })
  a.write(id, [{ id, acked: 0, checkpoint: Buffer.from('a secret') }])
  t.equal(written.length, 2)
  for (const { key, value } of written) {
    t.notOk(value.includes('secret') || value.includes('member a'))
    t.notOk(key.includes('member a'))
  }
})

t.test('what was sealed with another key is nothing', async t => {
  const { a, b, beats } = pair(Buffer.alloc(32, 8))
  a.beat({ member: 'a', holds: [], takes: [], votes: [] })
  a.write(id, [{ id, acked: 0, checkpoint: Buffer.from('a secret') }])
  t.strictSame(beats, [])
  t.strictSame(b.of('a'), [])
})

t.test("a beat under another member's name is nothing", async t => {
  const { a, beats } = pair()
  a.beat({ member: 'c', holds: [], takes: [], votes: [] })
  t.strictSame(beats, [])
})

t.test('what is no word of ours changes nothing', async t => {
  const { b, beats, two } = pair()
  const random = Buffer.from('11'.repeat(33), 'hex')
  for (const which of [0, 1, 2, 3, 4]) {
    for (const length of [1, 17, 20, 33]) {
      const name = Buffer.concat([Buffer.of(which), random]).subarray(0, length)
      await two.add(tables.connection, name, Buffer.from('anything'), { ttl: 60_000 })
    }
  }
  t.strictSame(beats, [])
  t.strictSame(b.of('a'), [])
})
