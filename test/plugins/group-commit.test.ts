import t from 'tap'
import { HandfastError } from '../../lib/errors.ts'
import type { Call, Outcome, Row } from '../../plugins/postgres/call.ts'
import { GroupCommit } from '../../plugins/postgres/group-commit.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'
import { until } from '../fixtures/until.ts'

interface Group {
  readonly names: string[]
  readonly isPatient: boolean
  /** All is stored; or `error` became of it, in the write at `at` where it is one of ours. */
  answer(error?: unknown, at?: number): void
}

/** A database whose answers the test gives. */
class Answering {
  readonly clock = new ManualClock()
  readonly groups: Group[] = []
  readonly writes: GroupCommit

  constructor(queue = 1_000) {
    this.writes = new GroupCommit({
      clock: this.clock,
      queue,
      patience: 5_000,
      mostPatient: 2,
      commit: (calls, isPatient) =>
        new Promise<Outcome>((resolve, reject) => {
          const names = calls.map(nameOf)
          const answer = (error?: unknown, at = 0) => {
            if (error instanceof HandfastError) resolve({ fault: error, at })
            else if (error !== undefined) reject(error)
            else resolve({ rows: names.map(name => [[`${name} is stored`]]) })
          }
          this.groups.push({ names, isPatient, answer })
        }),
    })
  }

  write(place: string, bytes = 100): Promise<Row | undefined> {
    const statement = { name: 'write', text: '' }
    return this.writes.write({ statement, values: [place], place, bytes })
  }

  async group(at: number): Promise<(typeof this.groups)[number]> {
    await until(() => this.groups.length > at)
    return this.groups[at] as (typeof this.groups)[number]
  }
}

function nameOf({ values }: Call): string {
  return String(values[0])
}

const refused = new HandfastError('ERR_HANDFAST_DATABASE', 'no')

t.test('what comes at one time goes out together, in the order of places', async t => {
  const database = new Answering()
  const writes = ['bob', 'eve', 'ann'].map(name => database.write(name))
  const group = await database.group(0)
  t.same(group.names, ['ann', 'bob', 'eve'])
  group.answer()
  t.same(await Promise.all(writes), [
    ['bob is stored'],
    ['eve is stored'],
    ['ann is stored'],
  ])
})

t.test('two groups are under way, and what comes meanwhile is the third', async t => {
  const database = new Answering()
  const writes = [database.write('1')]
  const first = await database.group(0)
  writes.push(database.write('2'))
  const second = await database.group(1)
  writes.push(database.write('3'), database.write('4'))
  first.answer()
  const third = await database.group(2)
  t.same(third.names, ['3', '4'])
  second.answer()
  third.answer()
  await Promise.all(writes)
})

t.test('groups that take long do not hold up the others for long', async t => {
  const database = new Answering()
  const stuck = [database.write('1')]
  await database.group(0)
  stuck.push(database.write('2'))
  await database.group(1)
  const free = database.write('3')
  database.clock.advance(50)
  const third = await database.group(2)
  t.same(third.names, ['3'])
  third.answer()
  t.same(await free, ['3 is stored'])
  for (const { answer } of database.groups) answer()
  await Promise.all(stuck)
})

t.test('a write that is refused spoils none of its group', async t => {
  const database = new Answering()
  const writes = ['a', 'bad', 'c', 'd'].map(name => database.write(name))
  const outcomes = Promise.allSettled(writes)
  const group = await database.group(0)
  t.match(group, { names: ['a', 'bad', 'c', 'd'], isPatient: false })
  group.answer(refused, 1)
  const [alone, others] = [await database.group(1), await database.group(2)]
  t.match(alone, { names: ['bad'], isPatient: true })
  t.match(others, { names: ['a', 'c', 'd'], isPatient: false })
  alone.answer(refused)
  others.answer()
  t.match(await outcomes, [
    { value: ['a is stored'] },
    { reason: refused },
    { value: ['c is stored'] },
    { value: ['d is stored'] },
  ])
})

t.test('where the commit itself is refused, each is tried alone', async t => {
  const database = new Answering()
  const writes = ['a', 'b', 'c'].map(name => database.write(name))
  const group = await database.group(0)
  group.answer(refused, 3)
  const [one, other] = [await database.group(1), await database.group(2)]
  t.same([one.names, other.names], [['a'], ['b']])
  t.equal(database.groups.length, 3, 'so many at once')
  other.answer()
  const last = await database.group(3)
  t.match(last, { names: ['c'], isPatient: true })
  one.answer()
  last.answer()
  t.same((await Promise.all(writes)).flat().length, 3)
})

t.test('whom others have spoilt three groups goes alone', async t => {
  const database = new Answering()
  const group = async (...names: string[]) => {
    const isIt = (one: Group) => one.names.join() === names.join()
    await until(() => database.groups.some(isIt))
    return database.groups.find(isIt) as Group
  }
  const writes = ['a', 'b', 'c', 'd'].map(name => database.write(name))
  const together = [
    ['a', 'b', 'c', 'd'],
    ['a', 'b', 'c'],
    ['a', 'b'],
  ]
  for (const names of together) {
    const [last = ''] = names.slice(-1)
    ;(await group(...names)).answer(refused, names.length - 1)
    const alone = await group(last)
    t.equal(alone.isPatient, true, last)
    alone.answer()
  }
  const alone = await group('a')
  t.equal(alone.isPatient, true)
  alone.answer()
  t.equal((await Promise.all(writes)).length, 4)
})

t.test(
  'an entry has one write under way, and the next does not wait for ever',
  async t => {
    const database = new Answering()
    const writes = [1, 2, 3].map(() => database.write('ann'))
    const outcomes = Promise.allSettled(writes)
    const first = await database.group(0)
    t.match(first, { names: ['ann'], isPatient: true })
    const other = database.write('bob')
    const group = await database.group(1)
    t.same(group.names, ['bob'])
    group.answer()
    await other
    first.answer()
    const second = await database.group(2)
    t.same(second.names, ['ann'])
    database.clock.advance(5_000)
    second.answer()
    t.match(await outcomes, [
      { value: ['ann is stored'] },
      { value: ['ann is stored'] },
      {
        reason: { code: 'ERR_HANDFAST_DATABASE', message: /have not ended for 5000 ms/ },
      },
    ])
  },
)

t.test('behind a write that was refused the next goes alone', async t => {
  const database = new Answering()
  const writes = ['ann', 'ann', 'bob'].map(name => database.write(name))
  const outcomes = Promise.allSettled(writes)
  const group = await database.group(0)
  t.same(group.names, ['ann', 'bob'])
  group.answer(refused, 0)
  const [alone, rest] = [await database.group(1), await database.group(2)]
  t.same([alone.names, rest.names], [['ann'], ['bob']])
  rest.answer()
  alone.answer(refused)
  const next = await database.group(3)
  t.match(next, { names: ['ann'], isPatient: true })
  next.answer()
  t.match(await outcomes, [{ reason: refused }, {}, {}])
})

t.test('where nobody knows what became of a group, nothing is tried again', async t => {
  const database = new Answering()
  const writes = [database.write('1'), database.write('2')]
  const outcomes = Promise.allSettled(writes)
  const unknown = new Error('no answer')
  const group = await database.group(0)
  group.answer(unknown)
  t.same(
    await outcomes,
    writes.map(() => ({ status: 'rejected', reason: unknown })),
  )
  const next = database.write('3')
  const after = await database.group(1)
  t.same(after.names, ['3'])
  after.answer()
  await next
})

t.test(
  'a group has a bound in number and in bytes, and a large write goes alone',
  async t => {
    const database = new Answering()
    const names = Array.from({ length: 33 }, (_, at) => String(100 + at))
    const writes = names.map(name => database.write(name))
    const first = await database.group(0)
    t.equal(first.names.length, 32)
    const second = await database.group(1)
    t.same(second.names, ['132'])
    writes.push(database.write('large', 300_000), database.write('small'))
    first.answer()
    const third = await database.group(2)
    t.same(third.names, ['large'])
    second.answer()
    const fourth = await database.group(3)
    t.same(fourth.names, ['small'])
    third.answer()
    fourth.answer()
    await Promise.all(writes)
  },
)

t.test('more than may wait is refused, and who closes leaves none waiting', async t => {
  const database = new Answering(2)
  const writes = [database.write('1'), database.write('2')]
  await t.rejects(database.write('3'), {
    code: 'ERR_HANDFAST_DATABASE',
    message: /2 writes wait already/,
  })
  const closed = database.writes.close()
  t.same(
    database.groups.map(({ names }) => names),
    [['1', '2']],
  )
  database.groups[0]?.answer()
  await Promise.all(writes)
  await closed
})
