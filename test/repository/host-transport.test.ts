import { mkdtempSync, rmSync } from 'node:fs'
import type { Server, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Tiers } from '../../lib/cache/tiers.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { noTransport } from '../../lib/farm/transport.ts'
import { silentLog } from '../../lib/log.ts'
import { HybridClock } from '../../lib/record/hybrid-clock.ts'
import { HostShelf } from '../../lib/repository/host-shelf.ts'
import { HostSocket } from '../../lib/repository/host-socket.ts'
import {
  HostTransport,
  type HostTransportParts,
} from '../../lib/repository/host-transport.ts'
import type { Outer } from '../../lib/repository/hub.ts'
import { Keeper } from '../../lib/repository/keeper.ts'
import { unknownState } from '../../lib/repository/state.ts'
import { memoryLog } from '../fixtures/farm/stream-member.ts'
import { key } from '../fixtures/repository/keeper-world.ts'
import { until } from '../fixtures/until.ts'

// The timers of a farm do not keep the process up.
const alive = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(alive))

const replica = {
  apply: () => true,
  read: () => undefined,
  scan: () => ({ records: [], next: undefined }),
}
/** Of a hub that has been stopped: nothing happens by itself. */
const stopped: Clock = { ...systemClock, after: () => ({ cancel: () => {} }) }

function newFolder(t: Test): string {
  const base = mkdtempSync(join(tmpdir(), 'host-'))
  t.teardown(() => rmSync(base, { recursive: true }))
  return join(base, 'h')
}

interface LoneHub {
  readonly server: Server
  readonly keeper: Keeper
  readonly streams: readonly Socket[]
}

/** A hub that welcomes everybody; with a clock that stands it gives nobody what it holds. */
async function loneHub(folder: string, clock: Clock = stopped): Promise<LoneHub> {
  const keeper = new Keeper({
    clock,
    log: silentLog,
    key,
    replica,
    member: 'host-1',
    place: () => undefined,
    ring: () => undefined,
    publish: async () => true,
    fetch: async () => undefined,
    state: processes => ({ ...unknownState, processes }),
    heard() {},
    figures: () => ({}),
  })
  const meeting = await new HostSocket(folder).meet()
  if (meeting.kind !== 'ours') throw new Error('somebody is there')
  const streams: Socket[] = []
  meeting.server.on('connection', stream => {
    streams.push(stream)
    keeper.accept(stream)
  })
  return { server: meeting.server, keeper, streams }
}

function nobodyBeyond(): Outer {
  return {
    transport: noTransport,
    tiers: new Tiers({ clock: systemClock, apply: () => false }),
    address: () => undefined,
  }
}

function newcomer(
  t: Test,
  folder: string,
  joinTimeout: number,
  other: Partial<HostTransportParts> = {},
): HostTransport {
  const transport = new HostTransport({
    socket: new HostSocket(folder),
    key,
    clock: systemClock,
    versions: new HybridClock(systemClock, 1),
    log: silentLog,
    replica,
    scanShared: replica.scan,
    shelf: new HostShelf(systemClock, silentLog, 0, () => {}),
    member: 'host-2',
    makeOuter: nobodyBeyond,
    lookupBudget: 50,
    joinTimeout,
    figures: () => ({}),
    ...other,
  })
  t.teardown(() => transport.close())
  return transport
}

async function joined(keeper: Keeper): Promise<void> {
  while (keeper.users.size === 0) await new Promise(resolve => setImmediate(resolve))
}

t.test(
  'a hub that is stopped while a process starts does not hold it up for ever',
  async t => {
    const folder = newFolder(t)
    const { server, keeper } = await loneHub(folder)
    t.teardown(() => server.close())
    t.teardown(() => keeper.close())
    const transport = newcomer(t, folder, 50)
    await t.rejects(transport.start(), { code: 'ERR_HANDFAST_JOIN' })
  },
)

t.test(
  'a process whose hub ends while it starts is the hub, and no user of its own',
  async t => {
    const folder = newFolder(t)
    const { server, keeper } = await loneHub(folder)
    const transport = newcomer(t, folder, 5_000)
    const started = transport.start()
    await joined(keeper)
    server.close()
    keeper.close()
    await started
    t.equal(transport.isHub, true)
    // Whoever else had begun to look for a hub would be there by now.
    const other = newcomer(t, folder, 5_000)
    await other.start()
    t.equal(transport.processes, 2)
  },
)

t.test('a process of another secret says so, and waits for the hub to end', async t => {
  const folder = newFolder(t)
  const hub = newcomer(t, folder, 5_000)
  await hub.start()
  const log = memoryLog()
  const other = { key: Buffer.alloc(32, 8), log }
  await t.rejects(newcomer(t, folder, 50, other).start(), {
    code: 'ERR_HANDFAST_JOIN',
    message: `the hub of this host, in ${folder}, refuses this process: it has another secret`,
  })
  t.match(log.said('another secret')[0], { level: 'warn' })

  // With a new secret all processes are started anew, and the last of the old ones is the hub.
  const waiting = newcomer(t, folder, 5_000, { ...other, log: memoryLog() })
  const started = waiting.start()
  await hub.close()
  await started
  t.equal(waiting.isHub, true)
})

t.test('a hub that dies is said to be gone, one that leaves is not', async t => {
  for (const dies of [false, true]) {
    const folder = newFolder(t)
    const { server, keeper, streams } = await loneHub(folder, systemClock)
    keeper.open()
    const log = memoryLog()
    const transport = newcomer(t, folder, 5_000, { log })
    await transport.start()
    server.close()
    if (dies) for (const stream of streams) stream.destroy()
    keeper.close()
    await until(() => transport.isHub)
    const lines = log.lines.filter(({ level }) => level !== 'debug')
    t.strictSame(
      lines.map(({ message }) => message),
      [
        ...(dies ? ['the hub of the host is gone'] : []),
        'this process is the hub of the host now',
      ],
    )
  }
})

t.test('a hub that follows another says that its host serves already', async t => {
  const folder = newFolder(t)
  const said: boolean[] = []
  const noting: Pick<HostTransportParts, 'makeOuter'> = {
    makeOuter: (_replica, _member, _before, serves) => {
      said.push(serves)
      return nobodyBeyond()
    },
  }
  const first = newcomer(t, folder, 5_000, noting)
  await first.start()
  const other = newcomer(t, folder, 5_000, noting)
  await other.start()
  await first.close()
  await until(() => other.isHub)
  t.same(said, [false, true])
})
