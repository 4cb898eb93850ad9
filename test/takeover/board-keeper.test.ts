import type { Socket } from 'node:net'
import t from 'tap'
import type { Checkpoint } from '../../lib/takeover/checkpoint/checkpoint.ts'
import type { CheckpointedConnection } from '../../lib/takeover/checkpoint/checkpointed-connection.ts'
import { Checkpoints } from '../../lib/takeover/checkpoint/checkpoints.ts'
import { decodeCheckpoint } from '../../lib/takeover/checkpoint/codec.ts'
import { BoardKeeper } from '../../lib/takeover/host/board/board-keeper.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { fullCheckpoint } from '../fixtures/takeover/checkpoints.ts'
import { CommitWorld, type WorldMember } from '../fixtures/takeover/commit-world.ts'

const seed = testSeed()
t.comment(`SEED=${seed}`)
const { owed, transport, local, remote } = fullCheckpoint
if (owed?.response === undefined) throw new Error('there is one')
const { request, response } = owed
const lineage = Buffer.from('one client')

/** Connections that go forward together, all in one moment. */
class Pair {
  readonly world: CommitWorld = new CommitWorld()
  readonly owner: WorldMember
  readonly heir: WorldMember
  readonly checkpoints: Checkpoints<Socket>
  position = 0

  constructor(keepsBundles: boolean) {
    this.owner = this.world.join('a')
    this.heir = this.world.join('b')
    const { clock } = this.world
    const keeper = new BoardKeeper(this.owner.board, clock, keepsBundles)
    this.checkpoints = new Checkpoints(keeper, clock)
  }

  open(of: Buffer | undefined = lineage): CheckpointedConnection<Socket> {
    const pair = this
    return this.checkpoints.open({
      connection: {
        get position() {
          return pair.position
        },
        readPosition: 0,
        state: () => transport,
        acked: () => 0,
      },
      socket: undefined as unknown as Socket,
      local,
      remote,
      lineage: of,
      network: undefined,
    })
  }

  get link() {
    const link = this.owner.links.get(this.heir)
    if (link === undefined) throw new Error('they have met')
    return link
  }

  /** As the other member has them. */
  get left(): Checkpoint[] {
    return this.heir.board.of('a').map(({ checkpoint }) => decodeCheckpoint(checkpoint))
  }

  pass(ms: number): void {
    this.world.clock.advance(ms)
  }
}

t.test('another member never has one of a bundle newer than the other', async t => {
  for (const keepsBundles of [true, false]) {
    let [looks, mixed] = [0, 0]
    const random = seededRandom(seed)
    const chance = (of: number) => random() < of
    const pair = new Pair(keepsBundles)
    let open = [pair.open(), pair.open()]
    for (let step = 0; looks < 500; step++) {
      const now = pair.world.clock.monotonic()
      pair.position += 1
      for (const one of open) {
        if (chance(0.5)) continue
        one.asked(request, () => false, now)
        if (chance(0.5)) one.began(chance(0.7) ? response : undefined, now)
        if (chance(0.3)) one.answered(now)
        else one.changed(now)
      }
      if (chance(0.02) && open.length < 10) open.push(pair.open())
      if (chance(0.02) && open.length > 1) {
        const [gone, ...others] = open
        if (gone !== undefined) pair.checkpoints.end(gone)
        open = others
      }
      pair.pass(Math.floor(random() * 100))
      const { link } = pair
      // What is sent may be late, and out of turn; a newer record takes the place of an older one.
      while (link.waiting.length > 0 && chance(0.7)) {
        link.deliver(Math.floor(random() * link.waiting.length))
        const bundled = pair.left.filter(({ bundle }) => bundle !== undefined)
        const moments = new Set(bundled.map(({ position }) => position))
        if (bundled.length > 1) looks += 1
        if (moments.size > 1) mixed += 1
        if (keepsBundles && moments.size > 1) {
          t.fail(`step ${step}: ${[...moments]}`)
          return
        }
      }
    }
    t.equal(mixed > 0, !keepsBundles, 'without it, that is seen')
  }
})

t.test('others of a bundle that nobody could go on with are told of as that', async t => {
  const pair = new Pair(true)
  const [one, other, fresh] = [pair.open(), pair.open(), pair.open()]
  pair.pass(100)
  pair.link.flush()
  t.equal(pair.left.length, 3)
  pair.position += 10
  const now = pair.world.clock.monotonic()
  other.asked(request, () => false, now)
  other.began(undefined, now)
  one.asked(request, () => false, now)
  one.began(response, now)
  fresh.changed(now)
  pair.pass(125)
  pair.link.flush()
  const owing = pair.left.filter(({ owed: is }) => is !== undefined)
  t.strictSame(
    owing.map(({ id }) => id),
    [one.id],
  )
  t.ok(pair.left.every(({ position }) => position === pair.position))
  t.notOk(other.isCurrent, 'it is not one that goes on')
})

t.test('what ends is told of no more, and the others stay', async t => {
  const pair = new Pair(true)
  const [one, other] = [pair.open(), pair.open()]
  pair.pass(100)
  pair.checkpoints.end(one)
  pair.link.flush()
  t.strictSame(
    pair.left.map(({ id }) => id),
    [other.id],
  )
  pair.checkpoints.end(other)
  pair.link.flush()
  t.strictSame(pair.left, [])
})

t.test(
  'a bundle has room in one record, and who finds none there is not lost',
  async t => {
    const pair = new Pair(true)
    const long = { ...request, fields: ['Cookie', 'x'.repeat(25_000)] }
    const three = [pair.open(), pair.open(), pair.open()]
    pair.pass(100)
    for (const one of three) {
      one.asked(long, () => false, pair.world.clock.monotonic())
      pair.pass(150)
    }
    pair.link.flush()
    t.equal(pair.left.length, 3)
    t.equal(pair.left.filter(({ owed: is }) => is !== undefined).length, 2)
    t.strictSame(
      three.map(({ isCurrent }) => isCurrent),
      [true, true, false],
    )
  },
)

t.test('who goes alone has a record of its own', async t => {
  const pair = new Pair(true)
  for (let i = 0; i < 9; i++) pair.open()
  pair.open(Buffer.from('somebody else'))
  pair.pass(100)
  pair.link.flush()
  const bundles = new Set(pair.left.map(({ bundle }) => bundle?.toString('hex')))
  t.equal(pair.left.length, 10)
  t.equal(bundles.size, 3, 'two bundles, and one that goes alone')
})
