import t from 'tap'
import {
  GrantRequests,
  type OrphanStray,
} from '../../lib/takeover/host/switch/grant-requests.ts'
import type { GrantRequest } from '../../lib/takeover/host/switch/grant-word.ts'
import type { Segment } from '../../lib/takeover/native/packets/segment.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'

function strayOf(number: number, window = 0): OrphanStray {
  const id = Buffer.alloc(16)
  id.writeUInt32BE(number)
  const told = { owner: 'owner of it', about: id.toString('hex'), id }
  return { told, of: 'a', decider: 'b', segment: { window } as Segment }
}

function asker() {
  const clock = new ManualClock()
  const said: GrantRequest[] = []
  const granted: OrphanStray[] = []
  const requests = new GrantRequests({
    self: 'c',
    clock,
    most: 20,
    say: request => said.push(request),
    onGranted: stray => granted.push(stray),
  })
  return { clock, said, granted, requests }
}

t.test('all strays of a connection are one request, and the newest counts', async t => {
  const { said, granted, requests } = asker()
  for (let window = 0; window < 5; window++) requests.ask(strayOf(1, window))
  t.equal(said.length, 1)
  const [request] = said
  if (request === undefined) throw new Error('it was said')
  requests.heard({ ...request, isGranted: true })
  t.match(granted, [{ segment: { window: 4 } }])
  requests.heard({ ...request, isGranted: true })
  t.equal(granted.length, 1, 'an answer that comes twice counts once')
  t.strictSame(requests.counts, { granted: 1, refused: 0, unanswered: 0 })
})

t.test(
  'what is granted to another request, or by another member, is not its',
  async t => {
    const { said, granted, requests } = asker()
    requests.ask(strayOf(1))
    const [request] = said
    if (request === undefined) throw new Error('it was said')
    requests.heard({ ...request, request: '0'.repeat(32), isGranted: true })
    requests.heard({ ...request, to: 'd', isGranted: true })
    t.equal(granted.length, 0)
    requests.heard({ ...request, isGranted: false })
    requests.heard({ ...request, isGranted: true })
    t.equal(granted.length, 0, 'nor what is granted after it was refused')
  },
)

t.test('nobody is asked for ever, and no more than some at once', async t => {
  const { clock, said, requests } = asker()
  requests.ask(strayOf(1))
  clock.advance(9_000)
  t.equal(said.length, 5)
  clock.advance(2_000)
  t.strictSame(requests.counts, { granted: 0, refused: 0, unanswered: 1 })
  for (let number = 2; number <= 30; number++) requests.ask(strayOf(number))
  t.equal(said.length, 5 + 20)
  requests.close()
  clock.advance(20_000)
  t.equal(said.length, 5 + 20)
})
