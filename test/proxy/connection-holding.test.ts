import t from 'tap'
import { ConnectionHolding } from '../../lib/proxy/connection-holding.ts'
import { FakeHolding } from '../fixtures/takeover/moves-world.ts'

function held(isCertain: boolean | Promise<boolean>) {
  const holding = new FakeHolding(1)
  const done: string[] = []
  const one = new ConnectionHolding({
    holding,
    recall: async () => {
      done.push('recall')
      return isCertain
    },
    resume: () => done.push('resume'),
  })
  return { one, holding, done }
}

t.test('one that stands still goes when what was told of it is called back', async t => {
  const { one, done } = held(true)
  t.equal(one.hold(false), 1, 'it is not yet')
  await undefined
  t.equal(one.hold(false), 0)
  t.strictSame(done, ['recall'])
  t.equal(one.moved().length, 1)
  t.strictSame(
    one.give(() => {}),
    { moved: 1, cut: 0 },
  )
})

t.test('one that does not stand still is not called back', async t => {
  const { one, holding, done } = held(true)
  holding.left = 1
  t.equal(one.hold(false), 1)
  one.release()
  t.strictSame(done, [], 'nor told of again')
  t.strictSame(holding.done, ['hold', 'release'])
})

t.test('where somebody could know less it stays, and is told of again', async t => {
  const { one, holding, done } = held(false)
  one.hold(false)
  await undefined
  t.equal(one.hold(true), 1)
  one.release()
  t.strictSame(done, ['recall', 'resume'])
  t.equal(holding.done.at(-1), 'release')
})
