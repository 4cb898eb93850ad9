import type { Worker } from 'node:cluster'
import t from 'tap'
import { silentLog } from '../../lib/log.ts'
import { Handover } from '../../lib/serve/cluster/handover.ts'
import { encodeCheckpoint } from '../../lib/takeover/checkpoint/codec.ts'
import { Guardian } from '../../lib/takeover/guardian/guardian.ts'
import type { Adopt } from '../../lib/takeover/guardian/guardian-keeper.ts'
import type { SystemHandle } from '../../lib/takeover/guardian/system-handle.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'
import { idleCheckpoint } from '../fixtures/takeover/checkpoints.ts'

class FakeWorker {
  readonly id: number
  readonly adopted: string[] = []
  connected = true

  constructor(id: number) {
    this.id = id
  }

  isConnected(): boolean {
    return this.connected
  }

  send({ type, id }: Adopt): void {
    if (type === 'adopt') this.adopted.push(id)
  }
}

function world(workers: number) {
  const guardian = new Guardian<SystemHandle>({
    maxConnections: 1_000,
    maxBytes: 2 ** 22,
    share: 1,
  })
  const clock = new ManualClock()
  const handover = new Handover(guardian, clock, silentLog)
  const all = Array.from({ length: workers }, (_, index) => new FakeWorker(index + 1))
  for (const worker of all) handover.ready(worker as unknown as Worker)
  return {
    all,
    clock,
    /** Connections that are held for somebody. */
    held: () => guardian.size,
    /** The first checkpoint of a connection comes. */
    hold(worker: FakeWorker, id: string, bundle: Buffer | undefined): void {
      const bytes = encodeCheckpoint({ ...idleCheckpoint, bundle }) ?? Buffer.alloc(0)
      const checkpoint = bytes.toString('base64')
      const message = { type: 'checkpoint', id, network: undefined, first: true } as const
      const handle = { fd: 1, close() {} }
      handover.heard(worker as unknown as Worker, { ...message, checkpoint }, handle)
    },
    give(worker: FakeWorker, id: string): void {
      handover.heard(worker as unknown as Worker, { type: 'give', id }, undefined)
    },
    comes(worker: FakeWorker): void {
      handover.ready(worker as unknown as Worker)
    },
    leaves(worker: FakeWorker): void {
      handover.gone(worker as unknown as Worker)
    },
    dies(worker: FakeWorker): void {
      worker.connected = false
      handover.died(worker as unknown as Worker)
    },
  }
}

const bundle = (index: number) => Buffer.alloc(16, index)
const names = (index: number) => [`${index} a`, `${index} b`, `${index} c`]

t.test('connections of a bundle go to the same worker', async t => {
  const farm = world(4)
  const [dead, ...heirs] = farm.all
  if (dead === undefined) throw new Error('there are four')
  const bundles = Array.from({ length: 30 }, (_, index) => index)
  // As they come: one of each bundle after the other.
  for (const which of [0, 1, 2]) {
    for (const index of bundles) {
      farm.hold(dead, names(index)[which] ?? '', bundle(index))
    }
  }
  farm.dies(dead)
  for (const index of bundles) {
    const having = heirs.filter(({ adopted }) => adopted.includes(`${index} a`))
    t.equal(having.length, 1)
    t.ok(names(index).every(name => having[0]?.adopted.includes(name)))
  }
  t.ok(
    heirs.every(({ adopted }) => adopted.length > 0),
    'and not all to one',
  )
})

t.test('so do those of a worker that leaves, one after the other', async t => {
  const farm = world(4)
  const [leaving, ...heirs] = farm.all
  if (leaving === undefined) throw new Error('there are four')
  for (const name of names(7)) farm.hold(leaving, name, bundle(7))
  farm.leaves(leaving)
  for (const name of names(7)) farm.give(leaving, name)
  t.strictSame(heirs.map(({ adopted }) => adopted.length).sort(), [0, 0, 3])
})

t.test('and those that were of two workers, when both are gone', async t => {
  const farm = world(4)
  const [one, two, ...heirs] = farm.all
  if (one === undefined || two === undefined) throw new Error('there are four')
  for (const worker of [one, two]) farm.leaves(worker)
  farm.hold(one, 'a', bundle(7))
  farm.hold(two, 'b', bundle(7))
  for (const worker of [one, two]) farm.dies(worker)
  t.strictSame(heirs.map(({ adopted }) => adopted.length).sort(), [0, 2])
})

t.test('where nobody serves they wait, and go to the first that comes', async t => {
  const farm = world(1)
  const [dead] = farm.all
  if (dead === undefined) throw new Error('there is one')
  for (const name of names(7)) farm.hold(dead, name, bundle(7))
  farm.dies(dead)
  const heir = new FakeWorker(9)
  farm.comes(heir)
  t.strictSame(heir.adopted, names(7))
})

t.test('but not for longer than half a minute, whether it died or left', async t => {
  for (const end of ['died', 'left']) {
    const farm = world(1)
    const [worker] = farm.all
    if (worker === undefined) throw new Error('there is one')
    for (const name of names(7)) farm.hold(worker, name, bundle(7))
    if (end === 'died') farm.dies(worker)
    else {
      farm.leaves(worker)
      for (const name of names(7)) farm.give(worker, name)
    }
    farm.clock.advance(29_999)
    t.equal(farm.held(), 3, end)
    farm.clock.advance(1)
    t.equal(farm.held(), 0, end)
    const late = new FakeWorker(9)
    farm.comes(late)
    t.strictSame(late.adopted, [], end)
  }
})

t.test('those that go alone take turns', async t => {
  const farm = world(4)
  const [dead, ...heirs] = farm.all
  if (dead === undefined) throw new Error('there are four')
  for (let i = 0; i < 30; i++) farm.hold(dead, String(i), undefined)
  farm.dies(dead)
  t.ok(heirs.every(({ adopted }) => adopted.length === 10))
})
