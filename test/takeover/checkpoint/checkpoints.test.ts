import t from 'tap'
import type { Checkpoint } from '../../../lib/takeover/checkpoint/checkpoint.ts'
import type { CheckpointKeeper } from '../../../lib/takeover/checkpoint/checkpoint-keeper.ts'
import type { CheckpointedConnection } from '../../../lib/takeover/checkpoint/checkpointed-connection.ts'
import { Checkpoints } from '../../../lib/takeover/checkpoint/checkpoints.ts'
import { decodeCheckpoint } from '../../../lib/takeover/checkpoint/codec.ts'
import { endOf } from '../../../lib/takeover/plan/planned-response.ts'
import { ManualClock } from '../../fixtures/manual-clock.ts'
import { fullCheckpoint } from '../../fixtures/takeover/checkpoints.ts'

const { owed } = fullCheckpoint
if (owed?.response === undefined) throw new Error('there is one')
const { request, response } = owed
const alone = () => false

class World implements CheckpointKeeper<string> {
  readonly wantsProgress: boolean
  readonly clock = new ManualClock()
  readonly checkpoints: Checkpoints<string>
  readonly written: Checkpoint[] = []
  readonly progressed: number[] = []
  given = 0
  retired = 0
  takes = true
  acked = 0
  readonly connection = {
    position: 100,
    readPosition: 50,
    state: () => ({ kind: 'plain' }) as const,
    acked: () => this.acked,
  }

  constructor(wantsProgress = false) {
    this.wantsProgress = wantsProgress
    this.checkpoints = new Checkpoints(this, this.clock)
  }

  open(): CheckpointedConnection<string> {
    const { local, remote } = fullCheckpoint
    const { connection } = this
    return this.checkpoints.open({
      connection,
      socket: 'socket',
      local,
      remote,
      network: '192.0.2.9',
    })
  }

  write(_of: CheckpointedConnection<string>, bytes: Buffer, done?: () => void): boolean {
    if (this.takes) {
      this.written.push(decodeCheckpoint(bytes))
      done?.()
    }
    return this.takes
  }

  progress(_of: CheckpointedConnection<string>, acked: number): void {
    this.progressed.push(acked)
  }

  give(): void {
    this.given++
  }

  retire(): void {
    this.retired++
  }

  get last(): Checkpoint | undefined {
    return this.written.at(-1)
  }
}

t.test(
  'a connection that is idle is written down, and a short request is not',
  async t => {
    const world = new World()
    const one = world.open()
    world.clock.advance(75)
    t.equal(world.written.length, 1)
    t.equal(world.last?.owed, undefined)
    for (let round = 0; round < 20; round++) {
      one.asked(request, alone, world.clock.monotonic())
      world.clock.advance(20)
      one.began(undefined, world.clock.monotonic())
      one.answered(world.clock.monotonic())
      world.clock.advance(20)
    }
    t.equal(world.written.length, 1)
    world.connection.position = 900
    world.connection.readPosition = 400
    one.asked(request, alone, world.clock.monotonic())
    one.answered(world.clock.monotonic())
    world.clock.advance(100)
    t.equal(world.written.length, 2)
    t.match(world.last, { position: 900, readPosition: 400, owed: undefined })
  },
)

t.test('a long answer is kept until the client has acknowledged all of it', async t => {
  const world = new World()
  const one = world.open()
  one.asked(request, alone, world.clock.monotonic())
  one.began(response, world.clock.monotonic())
  world.clock.advance(150)
  t.strictSame(world.last?.owed, { request, response })
  one.answered(world.clock.monotonic())
  world.clock.advance(5_000)
  t.strictSame(world.last?.owed, { request, response })
  world.acked = endOf(response.planned) - 1
  world.clock.advance(5_000)
  t.strictSame(world.last?.owed, { request, response }, 'one byte is missing')
  world.acked++
  world.clock.advance(100)
  t.equal(world.last?.owed, undefined)
})

t.test('an answer that nobody can make again is not written down', async t => {
  const world = new World()
  const one = world.open()
  one.asked(request, alone, world.clock.monotonic())
  one.began(undefined, world.clock.monotonic())
  world.clock.advance(5_000)
  t.equal(world.written.length, 0)
  one.answered(world.clock.monotonic())
  world.clock.advance(100)
  t.equal(world.written.length, 1)
})

t.test('nor is one behind which the client has sent another request', async t => {
  const world = new World()
  const one = world.open()
  let ahead = true
  one.asked(request, () => ahead, world.clock.monotonic())
  one.began(response, world.clock.monotonic())
  world.clock.advance(5_000)
  t.equal(world.written.length, 0)
  ahead = false
})

t.test('what was read is told as of the last request, not of what followed', async t => {
  const world = new World()
  const one = world.open()
  world.connection.readPosition = 70
  one.asked(request, alone, world.clock.monotonic())
  world.connection.readPosition = 99
  world.clock.advance(150)
  t.equal(world.last?.readPosition, 70)
})

t.test('progress is told to who can not ask the kernel', async t => {
  const world = new World(true)
  const one = world.open()
  one.asked(request, alone, world.clock.monotonic())
  one.began(response, world.clock.monotonic())
  world.clock.advance(150)
  for (let i = 1; i <= 10; i++) {
    world.acked = i * 32 * 2 ** 20
    world.clock.advance(250)
  }
  t.equal(world.written.length, 1)
  t.ok(world.progressed.length >= 5, `${world.progressed.length} times`)
})

t.test('a keeper that has no room now is asked again', async t => {
  const world = new World()
  world.open()
  world.takes = false
  world.clock.advance(500)
  world.takes = true
  world.clock.advance(50)
  t.equal(world.written.length, 1)
})

t.test('only what was written down is retired, and once', async t => {
  const world = new World()
  world.checkpoints.end(world.open())
  t.equal(world.retired, 0)
  const one = world.open()
  world.clock.advance(100)
  world.checkpoints.end(one)
  world.checkpoints.end(one)
  t.equal(world.retired, 1)
  one.answered(world.clock.monotonic())
  world.clock.advance(1_000)
  t.equal(world.written.length, 1)
})

t.test('a connection is given away when it is written down, and closed', async t => {
  const world = new World()
  const one = world.open()
  let closed: (() => void) | undefined
  const never = () => t.fail('it is closed')
  t.notOk(world.checkpoints.give(one, never), 'there may be no room for it')
  world.checkpoints.flush()
  world.takes = false
  t.notOk(world.checkpoints.give(one, never))
  world.takes = true
  t.ok(
    world.checkpoints.give(one, done => {
      t.equal(world.written.length, 2)
      closed = done
    }),
  )
  t.equal(world.given, 0, 'two must never write to it')
  closed?.()
  t.equal(world.given, 1)
  world.checkpoints.end(one)
  t.equal(world.retired, 0)
})

t.test('one in an answer that nobody can make again is not given away', async t => {
  const world = new World()
  const one = world.open()
  one.asked(request, alone, world.clock.monotonic())
  one.began(undefined, world.clock.monotonic())
  t.notOk(world.checkpoints.give(one, () => t.fail('it is closed')))
})

t.test('one that has grown since it was written down is not given away', async t => {
  const world = new World()
  const one = world.open()
  world.checkpoints.flush()
  one.asked(request, alone, world.clock.monotonic())
  t.notOk(world.checkpoints.give(one, () => t.fail('it is closed')))
  world.checkpoints.flush()
  t.ok(world.checkpoints.give(one, () => {}))
})
