import t from 'tap'
import { Cache } from '../../lib/cache/cache.ts'
import type { Log } from '../../lib/log.ts'
import type { RunningProxy } from '../../lib/proxy/options.ts'
import { HybridClock } from '../../lib/record/hybrid-clock.ts'
import { hostMember } from '../../lib/serve/host-member.ts'
import { decodeKernel } from '../../lib/takeover/host/board/kernel-codec.ts'
import type { NativeSupport } from '../../lib/takeover/native/detect.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'
import { MapTable } from '../fixtures/table/map-table.ts'
import { FakeHosts } from '../fixtures/takeover/fake-hosts.ts'
import { FakeStrays } from '../fixtures/takeover/fake-strays.ts'

const settings = { address: '10.0.0.100', interface: 'eth0', fence: ['false'] }

function keepingLog(): Log & { readonly lines: string[] } {
  const lines: string[] = []
  const keep = (fields: object, message?: string) => {
    lines.push(`${message} ${JSON.stringify(fields)}`)
  }
  const log = {
    lines,
    debug: keep,
    info: keep,
    warn: keep,
    error: keep,
    child: () => log,
  }
  return log
}

function world() {
  const clock = new ManualClock()
  const versions = new HybridClock(clock, 1)
  const cache = new Cache({ table: new MapTable({ clock }), versions, clock })
  const room = { key: Buffer.alloc(32), cache, clock, self: 'this one' }
  return { clock, farm: { takeoverRoom: () => room } }
}

function support(added: string[], removed: string[]): NativeSupport {
  const { sockets } = new FakeHosts().start('kernel', '10.0.0.1')
  const nothing = () => {}
  return {
    sockets,
    packets: {
      open: () => ({
        start: nothing,
        only: nothing,
        send: nothing,
        announce: nothing,
        close: nothing,
      }),
      ask: () => ({ again: nothing, close: nothing }),
    },
    addresses: {
      add: (name, address) => added.push(`${name} ${address}`),
      remove: (name, address) => removed.push(`${name} ${address}`),
    },
    strays: undefined,
    missing: undefined,
  }
}

t.test('it is off unless it is asked for, and nothing is looked at then', async t => {
  const detect = () => Promise.reject(new Error('looked at'))
  const member = await hostMember(undefined, world().farm, keepingLog(), detect)
  t.match(member.read(), { state: 'off', addresses: [] })
  t.equal(member.protection, undefined)
  member.start({} as RunningProxy)
  await member.close()
})

t.test('what a host lacks is said in one line, and it serves without', async t => {
  const text = 'the capability CAP_NET_RAW is needed (EPERM)'
  const all = support([], [])
  const missing = { reason: 'no-net-raw', text } as const
  const lacks = { ...all, packets: undefined, addresses: undefined, missing }
  const log = keepingLog()
  const member = await hostMember(settings, world().farm, log, async () => lacks)
  t.equal(member.read().state, text)
  t.equal(member.protection, undefined)
  t.equal(log.lines.length, 1)
  const alone = { takeoverRoom: () => undefined }
  const without = await hostMember(settings, alone, log, async () => all)
  t.equal(without.read().state, 'it needs a farm with a secret')
})

t.test('where all is there it has its address until it is closed', async t => {
  const [added, removed]: string[][] = [[], []]
  const { clock, farm } = world()
  const detect = async () => support(added ?? [], removed ?? [])
  const member = await hostMember(settings, farm, keepingLog(), detect)
  t.match(member.read(), { state: 'on', addresses: [] })
  const silenced: string[] = []
  const proxy = { silence: (address: string) => silenced.push(address) }
  member.start(proxy as unknown as RunningProxy)
  clock.advance(2_000)
  t.strictSame(added, ['eth0 10.0.0.100'])
  t.strictSame(member.read().addresses, ['10.0.0.100'])
  await member.close()
  t.strictSame(removed, ['eth0 10.0.0.100'])
  t.strictSame(silenced, [])
})

t.test('an address that all share is on lo, and needs to be told of strays', async t => {
  const [added, removed]: string[][] = [[], []]
  const { clock, farm } = world()
  const strays = new FakeStrays()
  const detect = async () => ({ ...support(added ?? [], removed ?? []), strays })
  const behind = { ...settings, shared: true, host: '10.0.1.1' }
  const member = await hostMember(behind, farm, keepingLog(), detect)
  member.start({ port: 8443, silence() {} } as unknown as RunningProxy)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  clock.advance(200)
  t.strictSame(added, ['lo 10.0.0.100'])
  t.match(member.read(), { state: 'on', shared: true, addresses: ['10.0.0.100'] })
  t.equal(strays.openPorts, 1)
  await member.close()
  t.strictSame(removed, ['lo 10.0.0.100'])
  t.equal(strays.openPorts, 0)
  const text = 'the command nft is needed'
  strays.lacks = { reason: 'no-nft', text }
  const without = await hostMember(behind, farm, keepingLog(), detect)
  t.equal(without.read().state, text)
})

t.test('what its kernel tells of a connection is counted from its accept', async t => {
  const detect = async () => support([], [])
  const member = await hostMember(settings, world().farm, keepingLog(), detect)
  const kernel = member.protection?.kernelOf?.(5, { position: 100, readPosition: 7 })
  t.match(decodeKernel(kernel ?? Buffer.alloc(0)), {
    tcp: { sendStart: 2 ** 32 - 1_100, receiveStart: 0 },
  })
})
