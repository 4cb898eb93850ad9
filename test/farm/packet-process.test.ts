import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { programOf } from '../fixtures/built.ts'
import { until } from '../fixtures/farm-stream-member.ts'
import { PacketChild } from '../fixtures/packet-child.ts'
import { type PacketMember, startPacketMember } from '../fixtures/packet-member.ts'
import type {
  PacketProcessOptions,
  PacketProcessState,
} from '../fixtures/packet-process.ts'

const program = programOf('packet-process')

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
function keepWriting(writer: PacketMember): () => Promise<{
  written: number
  missed: number
  longest: number
}> {
  let going = true
  const writing = (async () => {
    let [written, missed, longest] = [0, 0, 0]
    while (going) {
      const began = performance.now()
      if (!(await writer.put(`key ${written}`, 'one', 10_000))) missed += 1
      longest = Math.max(longest, performance.now() - began)
      written += 1
    }
    return { written, missed, longest: Math.round(longest) }
  })()
  return () => {
    going = false
    return writing
  }
}

async function sameAs(
  child: PacketChild,
  writer: PacketMember,
): Promise<PacketProcessState> {
  const end = performance.now() + 20_000
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
    `${transport}: a receiver that stands still for 200 ms loses nothing`,
    async t => {
      const { writer, receiver, witness } = await farmOf(t, transport, {}, {})
      const before = await receiver.state()
      const stop = keepWriting(writer)
      receiver.process.kill('SIGSTOP')
      await new Promise(resolve => setTimeout(resolve, 200))
      receiver.process.kill('SIGCONT')
      const { written, missed } = await stop()
      t.ok(written > 20, `${written} records were written meanwhile`)
      t.equal(missed, 0)
      const after = await sameAs(receiver, writer)
      await sameAs(witness, writer)
      t.equal(after.stats['tablesFetched'], before.stats['tablesFetched'], 'no table')
      t.equal(writer.stat('suspicions'), 0, 'and nobody was suspected')
    },
  )

  t.test(`${transport}: one that is away for long leaves, and is brought up`, async t => {
    // A tenth of the usual times: gone after half a second, beyond repair after one.
    const settings = { heartbeat: 50, ringAge: 1_000 }
    const links = { heartbeat: 50, deadAfter: 300 }
    const { writer, receiver, witness } = await farmOf(t, transport, settings, links)
    const stop = keepWriting(writer)
    receiver.process.kill('SIGSTOP')
    await until(() => writer.stat('membersGone') === 1)
    const left = performance.now()
    await until(() => performance.now() > left + 1_200)
    t.notOk(writer.transport.isCurrent(), 'a member is missing')
    receiver.process.kill('SIGCONT')
    await until(() => writer.isWhole(2) && writer.transport.isCurrent())
    const back = performance.now()
    const { written, missed, longest } = await stop()
    t.equal(missed, 0, `of ${written} writes; the longest took ${longest} ms`)
    const after = await sameAs(receiver, writer)
    t.comment(`equal ${Math.round(performance.now() - back)} ms after it was back`)
    await sameAs(witness, writer)
    t.equal(after.whole, 3)
    t.ok(await writer.put('all', 'all', 10_000))
  })
}
