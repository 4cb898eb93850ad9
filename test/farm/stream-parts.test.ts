import t from 'tap'
import { type Askable, Questions } from '../../lib/farm/channel/questions.ts'
import { AddressBook } from '../../lib/farm/mesh/address-book.ts'
import { MemberAddresses } from '../../lib/farm/mesh/member-addresses.ts'
import { MemberDirectory } from '../../lib/farm/mesh/member-directory.ts'
import { streamLimits } from '../../lib/farm/mesh/options.ts'
import { silentLog } from '../../lib/log.ts'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'

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
