import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { PacketChild } from '../../fixtures/farm/packet-child.ts'
import {
  type PacketMember,
  startPacketMember,
} from '../../fixtures/farm/packet-member.ts'
import type {
  PacketProcessOptions,
  PacketProcessState,
} from '../../fixtures/farm/packet-process.ts'
import { patience } from '../../fixtures/patience.ts'
import { programOf } from '../../fixtures/process/program.ts'
import { until } from '../../fixtures/until.ts'

const program = programOf('farm/packet-process')

interface Farm {
  readonly writer: PacketMember
  readonly receiver: PacketChild
  readonly witness: PacketChild
}

function startChild(t: Test): PacketChild {
  const { path, execArgv } = program
  const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const
  const child = fork(path, { execArgv, stdio: [...stdio] })
  t.teardown(() => child.kill('SIGKILL'))
  return new PacketChild(child)
}

/** A writer in this process, two others in processes of their own. */
async function farmOf(
  t: Test,
  transport: 'multicast' | 'unicast',
  settings: PacketProcessOptions['settings'],
  links: PacketProcessOptions['links'],
): Promise<Farm> {
  const secret = randomBytes(32)
  const writer = await startPacketMember(t, { secret, transport, settings, links })
  const children = [startChild(t), startChild(t)] as const
  const options = { secret: secret.toString('base64url'), transport, settings, links }
  for (const child of children) {
    await child.start({ ...options, members: [writer.address] })
  }
  await until(() => writer.isWhole(2))
  const [receiver, witness] = children
  return { writer, receiver, witness }
}

/** Writes one record after another, each confirmed by one other member, until told to stop. */
class Writing {
  written = 0
  missed = 0
  #going = true
  readonly #done: Promise<void>

  constructor(writer: PacketMember) {
    this.#done = this.#run(writer)
  }

  async #run(writer: PacketMember): Promise<void> {
    while (this.#going) {
      if (!(await writer.put(`key ${this.written}`, 'one', 60_000))) this.missed += 1
      this.written += 1
    }
  }

  /** Resolves when so many more are written. */
  async more(count: number): Promise<void> {
    const enough = this.written + count
    await until(() => this.written >= enough)
  }

  stop(): Promise<void> {
    this.#going = false
    return this.#done
  }
}

async function sameAs(
  child: PacketChild,
  writer: PacketMember,
): Promise<PacketProcessState> {
  const end = performance.now() + patience
  for (;;) {
    const state = await child.state()
    if (state.digest === writer.digest) return state
    if (performance.now() > end) {
      const { records } = writer.table.stats()
      throw new Error(`${state.records} of ${records} records are there`)
    }
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

for (const transport of ['multicast', 'unicast'] as const) {
  t.test(
    `${transport}: a receiver that stands still for 200 records loses nothing`,
    async t => {
      // So long a silence is nothing that anybody is suspected for.
      const settings = { heartbeat: 2_000 }
      const links = { deadAfter: 60_000 }
      const { writer, receiver, witness } = await farmOf(t, transport, settings, links)
      const before = await receiver.state()
      const writing = new Writing(writer)
      receiver.process.kill('SIGSTOP')
      await writing.more(200)
      receiver.process.kill('SIGCONT')
      await writing.stop()
      t.equal(writing.missed, 0)
      const after = await sameAs(receiver, writer)
      await sameAs(witness, writer)
      t.equal(after.stats['tablesFetched'], before.stats['tablesFetched'], 'no table')
      t.equal(writer.stat('suspicions'), 0, 'and nobody was suspected')
    },
  )

  t.test(`${transport}: one that is away for long leaves, and is brought up`, async t => {
    // Gone after half a second, beyond repair after 100 records.
    const settings = { heartbeat: 50, ringLength: 100 }
    const links = { heartbeat: 50, deadAfter: 300 }
    const { writer, receiver, witness } = await farmOf(t, transport, settings, links)
    const writing = new Writing(writer)
    receiver.process.kill('SIGSTOP')
    await until(() => writer.stat('membersGone') >= 1)
    await writing.more(200)
    t.notOk(writer.transport.isCurrent(), 'a member is missing')
    receiver.process.kill('SIGCONT')
    await until(() => writer.isWhole(2) && writer.transport.isCurrent())
    await writing.stop()
    t.equal(writing.missed, 0)
    const after = await sameAs(receiver, writer)
    await sameAs(witness, writer)
    t.equal(after.whole, 3)
    t.ok(await writer.put('all', 'all', 60_000))
  })
}
