import t from 'tap'
import { Synchronizer } from '../../../lib/farm/sync/synchronizer.ts'
import { TableWant } from '../../../lib/farm/sync/table-want.ts'
import type { Replica } from '../../../lib/farm/transport.ts'
import type { ControlMessage } from '../../../lib/wire/control-message.ts'
import { senderTag } from '../../../lib/wire/datagram.ts'

const gone = senderTag(1, 71)
const other = senderTag(1, 72)
const empty: Replica = {
  apply: () => true,
  read: () => undefined,
  scan: () => ({ records: [], next: undefined }),
}

t.test('what a member wrote is here when any table had it', async t => {
  const want = new TableWant(0)
  t.notOk(want.isNeed)
  want.add('met', 5)
  t.ok(want.isNeed)
  want.served(4)
  t.ok(want.isOver, 'also by a fetch that had begun before')
})

t.test('what was lost during a fetch takes another one', async t => {
  const want = new TableWant(0)
  want.add('met', 5)
  want.add('lost', 5)
  want.served(4)
  t.ok(want.isNeed)
  want.add('met', 6)
  want.served(4)
  t.ok(want.isNeed, 'whatever is met afterwards')
  want.served(5)
  t.ok(want.isOver)
})

t.test('what a member wrote that is away is here when all of it is', async t => {
  const want = new TableWant(0)
  want.add({ sender: gone, contiguous: 20 }, 1)
  want.add({ sender: gone, contiguous: 3 }, 1)
  want.served(9)
  want.has({ sender: other, contiguous: 30 })
  want.has({ sender: gone, contiguous: 19 })
  t.ok(want.isNeed)
  want.has({ sender: gone, contiguous: 20 })
  t.ok(want.isOver)
})

t.test('a look at a table outlives what is needed of it', async t => {
  const want = new TableWant(0)
  want.add('round', 1)
  t.notOk(want.isNeed)
  want.add('met', 1)
  want.served(1)
  t.notOk(want.isNeed)
  t.notOk(want.isOver)
})

t.test('a fetch that failed is wanted again with what was wanted meanwhile', async t => {
  const want = new TableWant(0)
  want.add('met', 1)
  const meanwhile = new TableWant(0)
  meanwhile.add('lost', 2)
  meanwhile.add({ sender: gone, contiguous: 7 }, 2)
  want.join(meanwhile)
  want.served(1)
  want.has({ sender: gone, contiguous: 7 })
  t.ok(want.isNeed)
  want.served(2)
  t.ok(want.isOver)
})

t.test(
  'the table of the one that has what another left behind is fetched, whoever was asked before',
  async t => {
    const sent: { to: string; message: ControlMessage }[] = []
    const asker: Synchronizer = new Synchronizer(
      () => empty,
      {
        vector: () => [],
        ready: () => true,
        send: (to, message) => sent.push({ to, message }),
        apply: () => true,
        started: () => {},
        completed: (_donor, _ready, vector) => {
          asker.satisfied('first')
          asker.satisfied('second')
          asker.has(vector)
        },
        wall: () => 0,
      },
      () => 0,
    )
    const asked = () =>
      sent.flatMap(({ to, message }) => (message.type === 'open' ? to : []))
    const answer = (from: string, id: number, contiguous: number) => {
      const vector = [{ sender: gone, contiguous }]
      asker.message(from, { type: 'vector', id, ready: true, vector }, 2)
      const page = { id, page: 1, last: true, differed: false, records: [] }
      asker.message(from, { type: 'page', ...page }, 3)
    }
    asker.want('first', 'met', 0)
    asker.tick(1, () => true)
    t.same(asked(), ['first'])
    t.ok(asker.want('second', { sender: gone, contiguous: 20 }, 2))
    answer('first', 1, 3)
    t.equal(asker.needed, 1)
    asker.tick(4, () => true)
    t.same(asked(), ['first', 'second'])
    answer('second', 2, 20)
    t.equal(asker.needed, 0)
    t.equal(asker.deadline(), Infinity)
  },
)
