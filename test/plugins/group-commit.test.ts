import t from 'tap'
import { HandfastError } from '../../lib/errors.ts'
import type { Call, Row } from '../../plugins/postgres/call.ts'
import { GroupCommit } from '../../plugins/postgres/group-commit.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'
import { until } from '../fixtures/until.ts'

/** A database whose answers the test gives. */
class Answering {
  readonly clock = new ManualClock()
  readonly groups: { readonly names: string[]; answer(error?: unknown): void }[] = []
  readonly writes: GroupCommit

  constructor(queue = 1_000) {
    this.writes = new GroupCommit({
      clock: this.clock,
      queue,
      commit: calls =>
        new Promise((resolve, reject) => {
          const names = calls.map(nameOf)
          const answer = (error?: unknown) => {
            if (error instanceof HandfastError) resolve(error)
            else if (error !== undefined) reject(error)
            else resolve(names.map(name => [[`${name} is stored`]]))
          }
          this.groups.push({ names, answer })
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

t.test('groups that wait for a lock do not hold up the others for long', async t => {
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
  const [bad, good] = [database.write('bad'), database.write('good')]
  const outcome = bad.catch((error: unknown) => error)
  const group = await database.group(0)
  t.same(group.names, ['bad', 'good'])
  group.answer(refused)
  const [one, other] = [await database.group(1), await database.group(2)]
  t.same([one.names, other.names], [['bad'], ['good']])
  one.answer(refused)
  other.answer()
  t.equal(await outcome, refused)
  t.same(await good, ['good is stored'])
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
  database.writes.close()
  t.same(
    database.groups.map(({ names }) => names),
    [['1', '2']],
  )
  database.groups[0]?.answer()
  await Promise.all(writes)
})
