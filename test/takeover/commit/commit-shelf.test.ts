import t from 'tap'
import { CommitShelf } from '../../../lib/takeover/commit/commit-shelf.ts'
import type { CommitWord } from '../../../lib/takeover/commit/commit-word.ts'
import { ManualClock } from '../../fixtures/manual-clock.ts'

const life = 'aa'.repeat(8)

function wordOf(number: number, ids: readonly number[], acked = 0): CommitWord {
  const entries = ids.map(id => ({
    id: Buffer.alloc(16, id),
    standing: 'exact' as const,
    acked,
    checkpoint: Buffer.alloc(0),
  }))
  return { life, number, names: [], entries }
}

function world(most?: number) {
  const clock = new ManualClock()
  const shelf = new CommitShelf(clock, most)
  const put = (key: string, word: CommitWord, ttl = 1_000) =>
    shelf.put('a', key, word, {
      name: Buffer.from(key),
      sealed: Buffer.from(`${word.number}`),
      expiresAt: clock.now() + ttl,
    })
  const kept = () => shelf.of('a').map(({ sealed }) => sealed.toString())
  return { clock, shelf, put, kept }
}

t.test('a late word takes the place of no newer one, and is answered', async t => {
  const { shelf, put, kept } = world()
  put('x', wordOf(2, [1]))
  put('x', wordOf(1, [1]))
  t.strictSame(kept(), ['2'])
  const [due] = shelf.receipts()
  t.strictSame(due?.receipt, { by: shelf.life, of: life, numbers: [2, 1] })
  t.strictSame(shelf.receipts(), [], 'once')
  put('x', wordOf(3, [1]))
  t.strictSame(shelf.receipts()[0]?.receipt.numbers, [2, 1, 3], 'with the last ones')
})

t.test('what is over does not come back while an older word may be anywhere', async t => {
  const { clock, put, kept } = world()
  put('x', wordOf(1, [1]), 1_000)
  put('x', wordOf(2, []), 2_000)
  put('x', wordOf(1, [1]), 1_000)
  t.strictSame(kept(), [])
  clock.advance(1_500)
  put('x', wordOf(1, [1]), 0)
  t.strictSame(kept(), [])
})

t.test('who finds no room is answered, and not kept', async t => {
  const { shelf, put, kept } = world(1)
  put('x', wordOf(1, [1]))
  put('y', wordOf(2, [2]))
  t.strictSame(kept(), ['1'])
  t.strictSame(shelf.receipts()[0]?.receipt.numbers, [1, 2])
  put('x', wordOf(3, [1]))
  t.strictSame(kept(), ['3'])
})

t.test('progress counts for what is open', async t => {
  const { shelf, put } = world()
  put('x', wordOf(1, [1, 2], 5))
  const [one, two] = [1, 2].map(id => Buffer.alloc(16, id).toString('hex')) as [
    string,
    string,
  ]
  shelf.progress('a', two, 9)
  shelf.progress('a', 'another', 9)
  shelf.progress('b', two, 9)
  t.strictSame(
    [...(shelf.of('a')[0]?.acked ?? [])],
    [
      [one, 5],
      [two, 9],
    ],
  )
  put('x', wordOf(2, [2], 7))
  t.strictSame([...(shelf.of('a')[0]?.acked ?? [])], [[two, 9]])
  shelf.progress('a', one, 11)
  t.strictSame([...(shelf.of('a')[0]?.acked ?? [])], [[two, 9]])
})

t.test('a member that was cut off is another one from then on', async t => {
  const { shelf } = world()
  const { life } = shelf
  shelf.renew()
  t.not(shelf.life, life)
})

t.test('words expire, and a member is forgotten', async t => {
  const { clock, shelf, put, kept } = world()
  put('x', wordOf(1, [1]), 1_000)
  put('y', wordOf(2, [2]), 2_000)
  clock.advance(1_500)
  t.strictSame(kept(), ['2'])
  shelf.forget('a')
  t.strictSame(kept(), [])
  t.strictSame(shelf.receipts(), [])
})
