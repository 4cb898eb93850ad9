import t from 'tap'
import type { Priority } from '../../../lib/dispatch/queue/urgency.ts'
import { type Waiter, WaitLine } from '../../../lib/dispatch/queue/wait-line.ts'

interface Named extends Waiter {
  readonly id: string
}

const connections = new Map<string, object>()

function connectionOf(network: string): object {
  const connection = connections.get(network) ?? {}
  connections.set(network, connection)
  return connection
}

function waiter(
  id: string,
  priority: Priority = 'normal',
  { weight = 1, name = '', network = 'a' } = {},
): Named {
  return {
    id,
    urgency: { priority, weight, name },
    place: { network, connection: connectionOf(network) },
  }
}

function all(line: WaitLine<Named>, accept: (item: Named) => boolean = () => true) {
  const ids: string[] = []
  for (;;) {
    const item = line.next(accept)
    if (item === undefined) return ids
    ids.push(item.id)
  }
}

t.test('a higher priority goes first, and equals as they came', async t => {
  const line = new WaitLine<Named>()
  for (const [id, priority] of [
    ['l', 'low'],
    ['n1', 'normal'],
    ['h1', 'high'],
    ['n2', 'normal'],
    ['h2', 'high'],
  ] as const) {
    line.add(waiter(id, priority))
  }
  t.equal(line.size, 5)
  t.strictSame(all(line), ['h1', 'h2', 'n1', 'n2', 'l'])
  t.equal(line.size, 0)
})

t.test('every priority has turns while those above never end', async t => {
  const line = new WaitLine<Named>()
  for (let i = 0; i < 4; i++) {
    line.add(waiter(`n${i}`, 'normal'))
    line.add(waiter(`l${i}`, 'low'))
  }
  const taken: string[] = []
  for (let turn = 0; turn < 128; turn++) {
    line.add(waiter('h', 'high'))
    taken.push(line.next(() => true)?.id ?? '')
  }
  t.equal(taken.filter(id => id === 'h').length, 120)
  t.strictSame(
    taken.filter(id => id !== 'h'),
    ['l0', 'n0', 'l1', 'n1', 'l2', 'n2', 'l3', 'n3'],
  )
})

t.test('classes of a priority have turns by their weight', async t => {
  const line = new WaitLine<Named>()
  for (let i = 0; i < 40; i++) {
    line.add(waiter('a', 'normal', { name: 'a', weight: 3 }))
    line.add(waiter('b', 'normal', { name: 'b', weight: 1 }))
  }
  const first = Array.from({ length: 40 }, () => line.next(() => true)?.id)
  t.equal(first.filter(id => id === 'a').length, 30)
  t.equal(first.filter(id => id === 'b').length, 10)
})

t.test('who brings many waits for his own, and others for one of them', async t => {
  const line = new WaitLine<Named>()
  for (let i = 0; i < 5; i++) line.add(waiter(`many${i}`, 'normal', { network: 'a' }))
  line.add(waiter('one', 'normal', { network: 'b' }))
  t.strictSame(all(line).slice(0, 3), ['many0', 'one', 'many1'])
})

t.test('one that may not have it now keeps its place and holds nobody up', async t => {
  const line = new WaitLine<Named>()
  line.add(waiter('a', 'high', { network: 'a' }))
  line.add(waiter('b', 'high', { network: 'b' }))
  line.add(waiter('c', 'low', { network: 'c' }))
  t.strictSame(
    all(line, ({ id }) => id !== 'a'),
    ['b', 'c'],
  )
  t.equal(line.size, 1)
  t.strictSame(all(line), ['a'])
})

t.test('one that leaves is not called', async t => {
  const line = new WaitLine<Named>()
  const gone = waiter('gone')
  line.add(gone)
  line.add(waiter('stays'))
  t.equal(line.remove(gone), true)
  t.equal(line.remove(gone), false)
  t.strictSame(all(line), ['stays'])
})

t.test('who makes room is of the lowest priority, the last of the greediest', async t => {
  const line = new WaitLine<Named>()
  const held: Record<string, number> = { a: 2, b: 3, c: 9 }
  const part = (network: string) => held[network] ?? 0
  line.add(waiter('a1', 'low', { network: 'a' }))
  line.add(waiter('b1', 'low', { network: 'b' }))
  line.add(waiter('b2', 'low', { network: 'b', name: 'other', weight: 2 }))
  line.add(waiter('c1', 'normal', { network: 'c' }))
  t.equal(line.takeBelow('low', part), undefined, 'none of its own priority')
  const given = ['high', 'normal', 'normal', 'normal', 'high', 'high'] as const
  t.strictSame(
    given.map(priority => line.takeBelow(priority, part)?.id),
    ['b2', 'b1', 'a1', undefined, 'c1', undefined],
  )
  t.equal(line.size, 0)
})

t.test('the last of a network is that of its greediest connection', async t => {
  const line = new WaitLine<Named>()
  const [greedy, modest] = [{}, {}]
  const from = (id: string, connection: object): Named => ({
    ...waiter(id, 'low'),
    place: { network: 'a', connection },
  })
  for (const id of ['g1', 'g2', 'g3']) line.add(from(id, greedy))
  line.add(from('m1', modest))
  t.equal(line.takeBelow('high', () => 1)?.id, 'g3')
  t.strictSame(all(line), ['g1', 'm1', 'g2'])
})
