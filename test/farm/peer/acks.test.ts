import t from 'tap'
import { AckSchedule } from '../../../lib/farm/peer/ack-schedule.ts'
import { chooseAckers } from '../../../lib/farm/peer/acker-choice.ts'

t.test('who acknowledges', async t => {
  const members = ['m1', 'm3', 'm5', 'm7'].map(id => ({ id, repository: false }))
  const tiers = [
    ...members,
    { id: 'r1', repository: true },
    { id: 'r2', repository: true },
  ]
  t.same(chooseAckers('none', 'm2', tiers, 2), [])
  t.same(chooseAckers('all', 'm2', members, 2), ['m1', 'm3', 'm5', 'm7'])
  t.same(chooseAckers(['r1', 'x'], 'm2', tiers, 2), ['r1'])
  t.same(chooseAckers('repositories', 'm2', tiers, 2), ['r1', 'r2'])
  t.same(chooseAckers('repositories', 'm2', members, 2), [])
  t.same(chooseAckers('auto', 'm2', tiers, 2), ['r1', 'r2'])
  t.same(chooseAckers('auto', 'm2', members, 2), ['m3', 'm5'], 'the next two')
  t.same(chooseAckers('auto', 'm6', members, 2), ['m7', 'm1'], 'around the circle')
  t.same(chooseAckers('auto', 'm9', members, 2), ['m1', 'm3'])
  t.same(chooseAckers('auto', 'm9', members, 1), ['m1'])
})

t.test('acknowledgements: at once, then not again within a millisecond', async t => {
  const acks = new AckSchedule(1)
  const came = (sequence: number, requested = false) => ({
    sequence,
    sentAt: 5,
    requested,
  })
  acks.data(came(1), 1, 10)
  t.equal(acks.deadline, Infinity, 'nobody asked for any')
  acks.data(came(2, true), 1, 10)
  t.equal(acks.deadline, Infinity, 'asked, but the first is missing')
  acks.data(came(1), 2, 11)
  t.same(acks.due(2, 12), { echo: 5, held: 1 })
  acks.appoint(true, 20)
  t.same(acks.due(2, 20), { echo: 5, held: 9 })
  acks.data(came(3), 3, 20.2)
  t.equal(acks.deadline, 21)
  t.equal(acks.due(3, 20.5), undefined)
  for (let sequence = 4; sequence < 40; sequence++)
    acks.data(came(sequence), sequence, 20.5)
  t.equal(acks.deadline, 20.5, '32 datagrams do not wait')
  t.ok(acks.due(39, 20.5))
  acks.flush(39, 39, 30)
  t.equal(acks.deadline, 30)
})
