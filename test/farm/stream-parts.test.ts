import t from 'tap'
import { AddressBook } from '../../lib/farm/link/address-book.ts'
import { MemberAddresses } from '../../lib/farm/link/member-addresses.ts'
import { MemberDirectory } from '../../lib/farm/link/member-directory.ts'
import { streamLimits } from '../../lib/farm/link/options.ts'
import { type Askable, Questions } from '../../lib/farm/link/questions.ts'
import { AppliedVector } from '../../lib/farm/log/applied-vector.ts'
import { decideJoin, type JoinView } from '../../lib/farm/log/join-decision.ts'
import { OutLog } from '../../lib/farm/log/out-log.ts'
import { PendingWrites } from '../../lib/farm/log/pending-writes.ts'
import { silentLog } from '../../lib/log.ts'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { readRecords } from '../../lib/wire/frame-log.ts'
import { maxVectorEntries } from '../../lib/wire/frame-sync.ts'
import { ManualClock } from '../fixtures/farm-stream-clock.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'

function record(key: string, change: Partial<CacheRecord> = {}): CacheRecord {
  return {
    table: tables.session,
    key: Buffer.from(key),
    value: Buffer.alloc(100),
    version: { ms: 1_700_000_000_000, logical: 0, node: 1 },
    expiresAt: 1_800_000_000_000,
    tombstone: false,
    ...change,
  }
}

t.test('log of own writes', async t => {
  t.test('numbers entries from 1 and gives them back in order', async t => {
    const log = new OutLog()
    t.equal(log.head, 0)
    t.equal(log.batch(1), undefined)
    for (let i = 1; i <= 10; i++) t.equal(log.append(record(`k${i}`)), i)
    const batch = log.batch(4)
    t.equal(batch?.next, 11)
    const { first, entries } = readRecords(batch?.body ?? Buffer.alloc(0))
    t.equal(first, 4)
    t.same(
      entries.map(({ key }) => key.toString()),
      ['k4', 'k5', 'k6', 'k7', 'k8', 'k9', 'k10'],
    )
    t.equal(log.batch(4), batch, 'links at the same place share one batch')
    log.append(record('k11'))
    t.equal(log.batch(4)?.next, 12, 'a batch that has become too old is made anew')
  })

  t.test('keeps within its bytes and its count, the newest entry always', async t => {
    const byCount = new OutLog({ maxEntries: 4 })
    for (let i = 0; i < 11; i++) byCount.append(record(`k${i}`))
    t.equal(byCount.tail, 8)
    t.equal(byCount.head, 11)
    t.equal(byCount.batch(7), undefined)
    t.equal(readRecords(byCount.batch(8)?.body ?? Buffer.alloc(0)).entries.length, 4)
    const byBytes = new OutLog({ maxBytes: 300 })
    for (let i = 0; i < 11; i++) byBytes.append(record(`k${i}`))
    t.ok(byBytes.bytes <= 300)
    t.equal(byBytes.head - byBytes.tail, 1)
    byBytes.append(record('large', { value: Buffer.alloc(60_000) }))
    t.equal(byBytes.tail, byBytes.head)
    t.equal(byBytes.batch(byBytes.head)?.next, byBytes.head + 1)
  })

  t.test('cuts batches at a size', async t => {
    const log = new OutLog()
    const value = Buffer.alloc(30_000)
    for (let i = 0; i < 5; i++) log.append(record('k', { value }))
    t.equal(log.batch(1)?.next, 3)
    const cut = log.batch(1)
    log.append(record('k', { value }))
    t.equal(log.batch(1), cut, 'what is added behind a full batch does not change it')
  })
})

t.test('what is held of the logs of others', async t => {
  const a = { id: 'a', incarnation: 1 }
  const entry = (sequence: number, incarnation = 1) => ({
    member: 'a',
    incarnation,
    sequence,
  })

  t.test('a log from its beginning', async t => {
    const vector = new AppliedVector()
    t.equal(vector.start(a), 0)
    t.ok(vector.take(a, 1, 10))
    t.ok(vector.take(a, 11, 5))
    t.equal(vector.applied(a), 15)
    t.same(vector.entries(), [entry(15)])
    t.equal(vector.start(a), 15, 'a new link goes on there')
    t.equal(vector.start({ id: 'a', incarnation: 2 }), 0, 'a new run starts anew')
  })

  t.test('entries before the next one are missing: an error', async t => {
    const vector = new AppliedVector()
    vector.start(a)
    t.ok(vector.take(a, 1, 3))
    t.notOk(vector.take(a, 5, 1))
    t.equal(vector.applied(a), 3)
  })

  t.test('a joiner counts on nothing before its snapshot is complete', async t => {
    const vector = new AppliedVector()
    t.equal(vector.start(a, 100), 100)
    t.ok(vector.take(a, 101, 20))
    t.same(vector.entries(), [], 'not for others')
    t.equal(vector.applied(a), 120, 'but these are in the table')
    vector.cover([entry(100)])
    t.same(vector.entries(), [entry(120)])
    t.same(vector.holes(), [])
  })

  t.test(
    'a second donor that lags behind the first makes the log start earlier',
    async t => {
      const vector = new AppliedVector()
      vector.start(a, 100)
      vector.take(a, 101, 20)
      t.notOk(vector.mustRewind(a, 100))
      t.notOk(vector.mustRewind(a, 110))
      t.ok(vector.mustRewind(a, 90))
      t.equal(vector.start(a, 90, true), 90)
      t.ok(vector.take(a, 121, 5), 'what was under way is no error')
      vector.cover([entry(90)])
      t.same(vector.entries(), [entry(90)])
      t.ok(vector.take(a, 91, 40))
      t.same(vector.entries(), [entry(130)])
      t.notOk(vector.take(a, 140, 1), 'the excuse holds once')
    },
  )

  t.test('a gap is a hole until a snapshot that reaches over it', async t => {
    const vector = new AppliedVector()
    vector.start(a)
    vector.take(a, 1, 10)
    vector.skip(a, 50)
    vector.take(a, 50, 10)
    t.same(vector.holes(), [a])
    t.same(vector.entries(), [entry(10)], 'a donor does not promise what it lacks')
    vector.cover([entry(48)])
    t.same(vector.holes(), [a], 'not far enough')
    vector.cover([entry(49)])
    t.same(vector.holes(), [])
    t.same(vector.entries(), [entry(59)])
  })

  t.test('a hole that the log itself fills again', async t => {
    const vector = new AppliedVector()
    vector.start(a)
    vector.take(a, 1, 10)
    vector.skip(a, 50)
    t.equal(vector.start(a), 10, 'a new link asks for what is missing')
    t.ok(vector.take(a, 11, 60))
    t.same(vector.entries(), [entry(70)])
  })

  t.test('a hole that nobody can fill is given up', async t => {
    const vector = new AppliedVector()
    vector.start(a)
    vector.skip(a, 50)
    vector.take(a, 50, 1)
    vector.giveUp(a)
    t.same(vector.holes(), [])
    t.same(vector.entries(), [entry(50)])
  })

  t.test('is bounded', async t => {
    const vector = new AppliedVector()
    for (let i = 0; i < maxVectorEntries + 10; i++) vector.cover([entry(1, i)])
    t.equal(vector.entries().length, maxVectorEntries)
    vector.forget('a')
    t.same(vector.entries(), [])
  })

  t.test(
    'whatever is cut, dropped and synced, it never claims what is not held',
    async t => {
      const seed = testSeed()
      t.comment(`SEED=${seed}`)
      const random = seededRandom(seed)
      const upTo = (limit: number) => Math.floor(random() * limit)
      for (let round = 0; round < 200; round++) {
        const vector = new AppliedVector()
        const held = new Set<number>()
        let head = 0
        let tail = 1
        let cursor: number | undefined
        for (let step = 0; step < 60; step++) {
          const what = upTo(6)
          if (what === 0) head += upTo(20)
          else if (what === 1) tail = Math.min(head + 1, tail + upTo(15))
          else if (what === 2) cursor = vector.start(a) + 1
          else if (what === 3) {
            const before = upTo(head + 1)
            for (let i = 1; i <= before; i++) held.add(i)
            if (cursor !== undefined && vector.mustRewind(a, before)) {
              // The new start is on its way; a batch that was sent before comes first.
              const late = cursor <= head && cursor >= tail ? cursor : undefined
              cursor = vector.start(a, before, true) + 1
              if (late !== undefined) {
                held.add(late)
                t.ok(vector.take(a, late, 1))
              }
            }
            vector.cover([entry(before)])
          } else if (cursor !== undefined) {
            if (cursor < tail) {
              vector.skip(a, tail)
              cursor = tail
            }
            const count = Math.min(head - cursor + 1, 1 + upTo(10))
            if (count > 0) {
              for (let i = 0; i < count; i++) held.add(cursor + i)
              t.ok(vector.take(a, cursor, count))
              cursor += count
            }
          }
          const claimed = vector.entries()[0]?.sequence ?? 0
          for (let i = 1; i <= claimed; i++) {
            if (!held.has(i)) t.fail(`claims ${claimed}, lacks ${i}`)
          }
        }
      }
    },
  )
})

t.test('writes that wait', async t => {
  t.test('one: the first that holds it is enough, all: the last', async t => {
    const clock = new ManualClock()
    const pending = new PendingWrites(clock)
    const one = pending.wait(5, 'one', ['a', 'b'], 100)
    const all = pending.wait(6, 'all', ['a', 'b'], 100)
    pending.credit('a', 0, 4)
    t.equal(pending.size, 2)
    pending.credit('a', 4, 6)
    t.ok(await one)
    t.equal(pending.size, 1)
    pending.credit('c', 0, 1_000_000)
    t.equal(pending.size, 1, 'one that was not there is not counted')
    pending.credit('b', 5, 6)
    t.ok(await all)
    t.equal(clock.waiting, 0)
  })

  t.test('the budget ends the wait', async t => {
    const clock = new ManualClock()
    const pending = new PendingWrites(clock)
    const late = pending.wait(1, 'all', ['a'], 10)
    clock.advance(10)
    t.notOk(await late)
    t.notOk(await pending.wait(2, 'one', ['a'], 0))
    pending.credit('a', 0, 2)
  })

  t.test('members that are gone are not waited for', async t => {
    const pending = new PendingWrites(new ManualClock())
    const all = pending.wait(1, 'all', ['a', 'b'], 100)
    const alone = pending.wait(2, 'all', ['a'], 100)
    const one = pending.wait(3, 'one', ['a'], 100)
    const other = pending.wait(4, 'one', ['a', 'b'], 100)
    pending.credit('b', 0, 1)
    pending.gone('a')
    t.ok(await all)
    t.ok(await alone, 'nobody is left to tell')
    t.notOk(await one, 'nobody holds it')
    t.equal(pending.size, 1)
    pending.close()
    t.notOk(await other)
  })
})

t.test('addresses', async t => {
  const make = (random = () => 1) =>
    new AddressBook({
      random,
      forgetAfter: 600_000,
      recheckAfter: 30_000,
      recheckSpareAfter: 300_000,
      maxAddresses: 4,
    })

  t.test('are dialled at once, then with growing pauses', async t => {
    const book = make()
    book.configure(['a:1', 'b:1'], 0)
    t.same(book.due(0), ['a:1', 'b:1'])
    t.same(book.due(0), [], 'not twice')
    t.ok(book.isUntried())
    book.linked('a:1')
    let now = 0
    const pauses: number[] = []
    for (let i = 0; i < 8; i++) {
      book.failed('b:1', now)
      const next = book.nextAt() ?? 0
      pauses.push(next - now)
      now = next
      t.same(book.due(now - 1), [])
      t.same(book.due(now), ['b:1'])
    }
    t.same(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000])
    t.notOk(book.isUntried())
    book.failed('b:1', now)
    book.hint('b:1', now)
    t.same(book.due(now), ['b:1'], 'a sign of life ends the pause')
    book.failed('a:1', now)
    t.equal((book.nextAt() ?? 0) - now, 100, 'a link that stood starts from the shortest')
  })

  t.test('spread by chance over half of the pause', async t => {
    const book = make(() => 0)
    book.configure(['a:1'], 0)
    book.due(0)
    book.failed('a:1', 0)
    t.equal(book.nextAt(), 50)
  })

  t.test('of ourselves are tried again, for a relay may have fooled us', async t => {
    const book = make()
    book.configure(['a:1'], 0)
    book.due(0)
    book.setAside('a:1', 0, false)
    t.same(book.due(29_999), [])
    t.same(book.due(30_000), ['a:1'])
    book.setAside('a:1', 30_000, true)
    t.same(book.due(329_999), [], 'a spare one: less often')
    t.same(book.due(330_000), ['a:1'])
  })

  t.test('that were only told are forgotten in time, and bounded', async t => {
    const book = make()
    book.configure(['a:1'], 0)
    for (const name of ['b', 'c', 'd', 'e', 'f']) book.learn(`${name}:1`, 0)
    t.equal(book.size, 4)
    for (const address of book.due(0)) book.failed(address, 0)
    t.same(book.due(600_001), ['a:1'])
    t.equal(book.size, 1)
    book.configure(['z:1'], 600_001)
    book.failed('a:1', 600_001)
    book.due(1_300_000)
    t.equal(book.size, 1, 'a name that no longer stands for it is such a case too')
    for (const nobody of ['y:1']) {
      book.linked(nobody)
      book.failed(nobody, 0)
      book.setAside(nobody, 0, false)
    }
    t.equal(book.size, 1)
  })
})

t.test('who becomes ready first', async t => {
  const view: JoinView = {
    selfId: 'm',
    peers: [],
    untried: false,
    elapsed: 0,
    joinTimeout: 5_000,
    failedDonors: new Set(),
    failures: 0,
  }
  const joining = (id: string) => ({ id, state: 'joining' as const })
  const ready = (id: string) => ({ id, state: 'ready' as const })
  const ask = (change: Partial<JoinView>) => decideJoin({ ...view, ...change })

  t.match(ask({}), { do: 'be ready', because: /nobody/ })
  t.match(ask({ untried: true }), { do: 'wait' })
  t.match(ask({ untried: true, elapsed: 5_000 }), { do: 'be ready', because: /nobody/ })
  t.match(ask({ untried: true, peers: [ready('a')] }), { do: 'sync', donor: 'a' })
  t.match(ask({ peers: [joining('a'), ready('b')] }), { do: 'sync', donor: 'b' })
  t.match(ask({ peers: [joining('n'), joining('z')] }), {
    do: 'be ready',
    because: /first/,
  })
  t.match(ask({ peers: [joining('n')], untried: true }), { do: 'wait' })
  t.match(ask({ peers: [joining('a'), joining('z')], elapsed: 9_999 }), { do: 'wait' })
  t.match(ask({ peers: [joining('a')], elapsed: 10_000 }), {
    do: 'be ready',
    because: /too long/,
  })
  const peers = [ready('a'), ready('b')]
  t.match(ask({ peers, failedDonors: new Set(['a']), failures: 1 }), { donor: 'b' })
  t.match(ask({ peers, failedDonors: new Set(['a', 'b']), failures: 2 }), { donor: 'a' })
  t.match(ask({ peers, failures: 8 }), { do: 'be ready', because: /no member could/ })
})

t.test('questions', async t => {
  const clock = new ManualClock()
  const key = Buffer.from('k')
  const make = (rate = 1_000, burst = 1_000) => {
    const tombstones: CacheRecord[] = []
    const questions = new Questions({
      clock,
      rate,
      burst,
      onTombstone: tombstone => tombstones.push(tombstone),
    })
    const ids: number[] = []
    const member = (willing = true): Askable => ({
      get: ({ id }) => {
        ids.push(id)
        return willing
      },
    })
    return { questions, tombstones, ids, member }
  }
  const found = record('k', { expiresAt: clock.now() + 1_000 })
  const deleted = (ms: number) =>
    record('k', {
      value: Buffer.alloc(0),
      tombstone: true,
      expiresAt: clock.now() + 1_000,
      version: { ms, logical: 0, node: 1 },
    })
  const none = undefined

  t.test('the first live answer wins and later ones are dropped', async t => {
    const { questions, member, ids } = make()
    const [a, b] = [member(), member()]
    const asked = questions.ask([a, b], tables.session, key, 50)
    const id = ids[0] ?? 0
    questions.answer(a, { id, record: found })
    t.same((await asked)?.key, key)
    questions.answer(b, { id, record: found })
    t.equal(questions.counts.late, 1)
  })

  t.test('nobody has it: known as soon as the last has said so', async t => {
    const { questions, member, ids } = make()
    const [a, b, c] = [member(), member(), member(false)]
    const asked = questions.ask([a, b, c], tables.session, key, 50)
    questions.answer(a, { id: ids[0] ?? 0, record: none })
    questions.lost(b)
    t.equal(await asked, undefined)
    t.equal(await questions.ask([c], tables.session, key, 50), undefined)
    t.equal(await questions.ask([], tables.session, key, 50), undefined)
    t.equal(await questions.ask([a], tables.session, key, 0), undefined)
  })

  t.test('the budget ends it', async t => {
    const { questions, member } = make()
    const asked = questions.ask([member()], tables.session, key, 50)
    clock.advance(50)
    t.equal(await asked, undefined)
  })

  t.test('expired, wrong and deleted records are no answers', async t => {
    const { questions, member, ids, tombstones } = make()
    const [a, b, c, d] = [member(), member(), member(), member()]
    const asked = questions.ask([a, b, c, d], tables.session, key, 50)
    const id = ids[0] ?? 0
    questions.answer(a, { id, record: { ...found, expiresAt: clock.now() } })
    questions.answer(b, { id, record: record('other') })
    questions.answer(c, { id, record: deleted(1_800_000_000_000) })
    questions.answer(c, { id, record: found })
    questions.answer(d, { id, record: found })
    t.equal(await asked, undefined, 'a member that missed the delete does not undo it')
    t.equal(tombstones.length, 1)
  })

  t.test('a record newer than its tombstone is an answer', async t => {
    const { questions, member, ids } = make()
    const [a, b] = [member(), member()]
    const asked = questions.ask([a, b], tables.session, key, 50)
    questions.answer(a, { id: ids[0] ?? 0, record: deleted(1) })
    questions.answer(b, { id: ids[0] ?? 0, record: found })
    t.ok(await asked)
  })

  t.test('made-up keys do not multiply into the farm', async t => {
    const { questions, member, ids } = make(100, 10)
    const a = member()
    for (let i = 0; i < 50; i++) void questions.ask([a], tables.session, key, 1_000_000)
    t.equal(ids.length, 10)
    t.equal(questions.counts.limited, 40)
    clock.advance(100)
    for (let i = 0; i < 50; i++) void questions.ask([a], tables.session, key, 1_000_000)
    t.equal(ids.length, 20)
    const open = questions.ask([a], tables.session, key, 10)
    questions.close()
    t.equal(await open, undefined)
  })
})

t.test('members that were heard of', async t => {
  const directory = new MemberDirectory()
  const a = { id: 'a', incarnation: 1 }
  directory.note(a, 'joining', 'h:1', 0)
  directory.note({ id: 'b', incarnation: 1 }, 'ready', undefined, 0)
  directory.note(a, 'ready', undefined, 10)
  t.same(directory.known(), [{ id: 'a', incarnation: 1, address: 'h:1' }])
  directory.note({ id: 'a', incarnation: 2 }, 'ready', 'h:2', 20)
  directory.mark(a, 'gone', 30)
  t.equal(directory.count('gone'), 0, 'the end of an earlier run is no news')
  directory.mark({ id: 'a', incarnation: 2 }, 'gone', 40)
  t.same(directory.known(), [])
  t.same(directory.forget(39), [])
  t.same(directory.forget(40), ['a'])
  t.equal(directory.size, 1)
})

t.test('names of members', async t => {
  const clock = new ManualClock()
  const answers: Record<string, readonly string[]> = {
    farm: ['10.0.0.1', '::1', 'rubbish'],
  }
  let silent = false
  const addresses = new MemberAddresses({
    members: ['farm', 'farm:9', '10.0.0.7', '[::2]:8', 'nowhere'],
    defaultPort: 7,
    timeout: 100,
    clock,
    log: silentLog,
    resolve: async name => {
      if (silent) await new Promise(() => {})
      const answer = answers[name]
      if (answer === undefined) throw new Error('no such name')
      return answer
    },
  })
  t.ok(addresses.hasNames)
  const first = await addresses.resolve()
  t.same(first, [
    '10.0.0.1:7',
    '[::1]:7',
    '10.0.0.1:9',
    '[::1]:9',
    '10.0.0.7:7',
    '[::2]:8',
  ])
  silent = true
  const second = addresses.resolve()
  clock.advance(100)
  t.same(await second, first, 'a resolver that is down takes no member away')
})

t.test('a limit that is not a limit is refused by name', async t => {
  const base = {} as Parameters<typeof streamLimits>[0]
  t.throws(() => streamLimits({ ...base, deadAfter: 0 }), { message: /deadAfter/ })
  t.equal(streamLimits({ ...base, deadAfter: 9 }).deadAfter, 9)
})
