import t from 'tap'
import { WorkBudget } from '../../lib/limit/work-budget.ts'

t.test('what was too much is made up for', async t => {
  const budget = new WorkBudget({ perSecond: 100, atOnce: 50 })
  t.equal(budget.allows(0), true)
  budget.spend(70)
  t.equal(budget.allows(0), false)
  t.equal(budget.allows(200), false, '20 ms back, and nothing left')
  t.equal(budget.allows(201), true)
  budget.spend(1)
  t.equal(budget.allows(100), false, 'a clock that was read before gives nothing back')
  t.equal(budget.allows(1e9), true)
  budget.spend(50)
  t.equal(budget.allows(1e9), false, 'a long rest does not add up')
})
