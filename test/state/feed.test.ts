import { randomBytes } from 'node:crypto'
import t from 'tap'
import { HandfastError } from '../../lib/errors.ts'
import type { EndMove } from '../../lib/state/database.ts'
import {
  type Change,
  FeedKeys,
  feedOverhead,
  openFeedMessage,
  sealFeedMessage,
} from '../../lib/state/feed/feed-message.ts'
import { FeedReceiver } from '../../lib/state/feed/feed-receiver.ts'
import { FeedSender } from '../../lib/state/feed/feed-sender.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'

const key = randomBytes(32)
const keys = new FeedKeys(key)
const change: Change = { table: 'carts', key: 'ann ü', floor: 2n ** 62n }

t.test('a message is what was sealed, and nothing else is one', async t => {
  const message = {
    sender: randomBytes(16).toString('hex'),
    sequence: 7n,
    kind: 'changes' as const,
    changes: [change, { table: 't', key: '', floor: 1n }],
  }
  const sealed = sealFeedMessage(keys, message)
  t.same(openFeedMessage(keys, sealed), message)
  t.equal(sealed.includes('carts'), false, 'nobody can read it')
  t.equal(
    openFeedMessage(new FeedKeys(randomBytes(32)), sealed),
    undefined,
    'another key',
  )
  for (let at = 0; at < sealed.length; at++) {
    const altered = Buffer.from(sealed)
    altered[at] = (altered[at] as number) ^ 1
    t.equal(openFeedMessage(keys, altered), undefined, `byte ${at}`)
    t.equal(openFeedMessage(keys, sealed.subarray(0, at)), undefined, `${at} bytes`)
  }
  const empty = sealFeedMessage(keys, { ...message, changes: [] })
  t.equal(empty.length, feedOverhead)
})

t.test('changes of some milliseconds go together, as many as fit', async t => {
  const world = new World()
  const receiver = world.receiver()
  const sender = world.sender()
  await sender.open()
  for (let i = 0; i < 100; i++) sender.announce({ ...change, key: `k${i}` })
  t.equal(world.published.length, 1, 'not yet')
  await world.pass(20)
  t.ok(world.published.length < 30)
  t.ok(world.published.every(({ length }) => length <= 300))
  t.equal(receiver.heard.length, 100)
  t.equal(receiver.missed, 0)
})

t.test('who says nothing for too long is missed, who takes leave is not', async t => {
  const world = new World()
  const receiver = world.receiver()
  const [leaves, dies] = [world.sender(), world.sender()]
  await leaves.open()
  await dies.open()
  await world.pass(20_000)
  t.equal(receiver.missed, 0, 'both are heard')
  await leaves.close()
  await world.pass(20_000)
  t.equal(receiver.missed, 0)
  world.isCut = true
  await world.pass(20_000)
  t.equal(receiver.missed, 1)
  world.isCut = false
  await world.pass(2_000)
  t.equal(receiver.missed, 2, 'what it told meanwhile is unknown')
})

t.test('a gap is heard, and so is what can not be told', async t => {
  const world = new World()
  const receiver = world.receiver()
  const sender = world.sender()
  await sender.open()
  world.isLossy = true
  sender.announce(change)
  await world.pass(20)
  world.isLossy = false
  sender.announce(change)
  await world.pass(20)
  t.equal(receiver.missed, 1, 'a number is missing')
  sender.announce({ ...change, key: 'x'.repeat(300) })
  await world.pass(20)
  t.equal(receiver.missed, 2, 'longer than a message')
  world.isBroken = true
  sender.announce(change)
  await world.pass(20)
  world.isBroken = false
  await world.pass(2_000)
  t.equal(receiver.missed, 3, 'the database did not take it')
  sender.announce(change)
  await world.pass(20)
  t.equal(receiver.missed, 3)
  t.equal(receiver.heard.length, 1)
})

t.test('what comes twice, of nobody, or of oneself changes nothing', async t => {
  const world = new World()
  const sender = world.sender()
  const own = world.receiver(sender.name)
  const other = world.receiver()
  await sender.open()
  sender.announce(change)
  await world.pass(20)
  for (const bytes of [...world.published, Buffer.alloc(0), randomBytes(100)]) {
    for (const { receiver } of [own, other]) receiver.receive(bytes)
  }
  t.equal(own.heard.length, 0)
  t.equal(other.heard.length, 1)
  t.equal(other.missed, 0)
  t.rejects(world.broken().open(), 'nobody would miss who was never heard')
})

t.test('who listens late knows those who were there', async t => {
  const world = new World()
  const sender = world.sender()
  await sender.open()
  await world.pass(10_000)
  const late = world.receiver()
  await world.pass(1_500)
  sender.announce(change)
  await world.pass(20)
  t.equal(late.heard.length, 1)
  t.equal(late.missed, 0)
  late.receiver.disconnected()
  late.receiver.connected()
  await world.pass(2_000)
  t.equal(late.missed, 1, 'once, for the connection')
})

t.test('a change that is made while it is closed is told before it leaves', async t => {
  const world = new World()
  const receiver = world.receiver()
  const sender = world.sender()
  await sender.open()
  let made = (_version: bigint) => {}
  const making = new Promise<bigint>(resolve => {
    made = resolve
  })
  const what = { table: 'carts', key: 'ann', before: 1n }
  const told = sender.tell(what, () => making)
  const closed = sender.close()
  await world.pass(20)
  made(2n)
  t.equal(await told, 2n)
  await closed
  t.same(receiver.heard, ['ann'])
  await world.pass(20_000)
  t.equal(receiver.missed, 0)
})

t.test('a change of which nobody knows is told', async t => {
  const world = new World()
  const receiver = world.receiver()
  const sender = world.sender()
  await sender.open()
  const lost = (before: bigint | undefined, code: 'OUTCOME_UNKNOWN' | 'DATABASE') =>
    sender.tell({ table: 'carts', key: 'ann', before }, () =>
      Promise.reject(new HandfastError(`ERR_HANDFAST_${code}`, 'the answer')),
    )
  await t.rejects(lost(1n, 'DATABASE'))
  await world.pass(20)
  t.same(receiver.heard, [], 'one that was not made is not')
  await t.rejects(lost(1n, 'OUTCOME_UNKNOWN'))
  await world.pass(20)
  t.same(receiver.heard, ['ann'])
  await t.rejects(lost(undefined, 'OUTCOME_UNKNOWN'))
  await world.pass(20)
  t.equal(receiver.missed, 1, 'as everything, where the version is not known')
})

t.test('an end that is earlier, or may be, is told; a later one is not', async t => {
  const world = new World()
  const receiver = world.receiver()
  const sender = world.sender()
  await sender.open()
  const move = async (key: string, moved: EndMove | undefined) =>
    t.equal(await sender.tellEnd('carts', key, async () => moved), moved)
  await move('ann', 'earlier')
  await move('bob', 'later')
  await move('eve', undefined)
  await t.rejects(
    sender.tellEnd('carts', 'joe', () =>
      Promise.reject(new HandfastError('ERR_HANDFAST_OUTCOME_UNKNOWN', 'the answer')),
    ),
  )
  await world.pass(20)
  t.same(receiver.shortened, ['ann', 'joe'])
  t.same(receiver.heard, [])
  t.equal(receiver.missed, 0)
})

/** Senders and receivers of one database, in virtual time. */
class World {
  readonly clock = new ManualClock()
  readonly published: Buffer[] = []
  isCut = false
  isLossy = false
  isBroken = false
  readonly #receivers: FeedReceiver[] = []

  sender(): FeedSender {
    return new FeedSender({
      key,
      clock: this.clock,
      maxBytes: 300,
      publish: async message => {
        if (this.isBroken) throw new Error('broken')
        this.published.push(message)
        if (this.isCut || this.isLossy) return
        for (const receiver of this.#receivers) receiver.receive(message)
      },
    })
  }

  broken(): FeedSender {
    this.isBroken = true
    return this.sender()
  }

  receiver(self = '') {
    const counts = { heard: [] as string[], shortened: [] as string[], missed: 0 }
    const receiver = new FeedReceiver({
      key,
      clock: this.clock,
      self,
      watcher: {
        changed: (_table, key) => counts.heard.push(key),
        shortened: (_table, key) => counts.shortened.push(key),
        deaf: () => {
          counts.missed += 1
        },
        heard: () => {},
      },
    })
    receiver.connected()
    this.#receivers.push(receiver)
    return Object.assign(counts, { receiver })
  }

  async pass(ms: number): Promise<void> {
    const end = this.clock.monotonic() + ms
    while (this.clock.monotonic() < end) {
      this.clock.advance(Math.min(5, end - this.clock.monotonic()))
      for (let i = 0; i < 10; i++) await undefined
    }
  }
}
