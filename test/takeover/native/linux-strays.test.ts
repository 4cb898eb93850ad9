import t from 'tap'
import {
  type BareSegment,
  flag,
  readSegment,
  type Segment,
  segmentPacket,
} from '../../../lib/takeover/native/packets/segment.ts'
import { LinuxStrays } from '../../../lib/takeover/native/strays/linux-strays.ts'
import { FakeLibc } from '../../fixtures/takeover/fake-libc.ts'

const bound: Buffer = Buffer.alloc(36)
bound.writeUInt32LE(36, 0)
bound.writeUInt16LE(2, 4)

function world() {
  const libc = new FakeLibc()
  libc.inbox.push(bound)
  const scripts: string[] = []
  const state = { refusal: undefined as Error | undefined }
  const strays = new LinuxStrays(libc, async (script, { check } = {}) => {
    if (state.refusal !== undefined) throw state.refusal
    scripts.push(check === true ? `check ${script}` : script)
  })
  return { libc, scripts, strays, state }
}

const segment: BareSegment = {
  source: { address: '10.0.0.7', port: 51_000 },
  destination: { address: '10.0.0.100', port: 443 },
  sequence: 1_000,
  acknowledgment: 2_000,
  flags: flag.ack | flag.psh | flag.fin,
  window: 3,
  timestamps: { value: 4, echo: 5 },
  data: Buffer.from('text'),
}

function logged(packet: Buffer): Buffer {
  const bytes = Buffer.alloc(24)
  bytes.writeUInt32LE(24 + packet.length, 0)
  bytes.writeUInt16LE(0x0400, 4)
  bytes.writeUInt16LE(4 + packet.length, 20)
  bytes.writeUInt16LE(9, 22)
  return Buffer.concat([bytes, packet])
}

t.test(
  'each port has a table of its own, in the place of the one that was there',
  async t => {
    const { strays, scripts } = world()
    const port = await strays.open('10.0.0.100', [443, 80, 443], () => {})
    const [load = ''] = scripts
    const made = load.match(/^table ip \S+ \{$/gm)
    t.strictSame(made, [
      'table ip handfast-10.0.0.100-443 {',
      'table ip handfast-10.0.0.100-80 {',
    ])
    for (const table of ['handfast-10.0.0.100-443', 'handfast-10.0.0.100-80']) {
      const [add, remove, again] = [
        `table ip ${table}\n`,
        `delete table ip ${table}\n`,
        `table ip ${table} {`,
      ]
      t.ok(load.includes(add + remove + again), table)
    }
    await Promise.all([port.close(), port.close()])
    t.equal(scripts.length, 2, 'and they are taken away once')
    t.notMatch(scripts[1], '{')
    t.equal(scripts[1]?.match(/^delete/gm)?.length, 2)
  },
)

t.test('strays are told, and what is no segment is not', async t => {
  const { strays, libc } = world()
  const heard: Segment[] = []
  const port = await strays.open('10.0.0.100', [443], stray => heard.push(stray))
  libc.inbox.push(logged(segmentPacket(segment)), logged(Buffer.from('no packet')))
  libc.wake()
  t.match(heard, [{ source: segment.source, sequence: 1_000, length: 4 }])
  await port.close()
  libc.wake()
  t.equal(libc.open.size, 0)
})

t.test('what is given to the kernel carries nothing, and no end of it', async t => {
  const { strays, libc } = world()
  const port = await strays.open('10.0.0.100', [443], () => {})
  const before = libc.of('sendTo').length
  port.pass(readSegment(segmentPacket(segment)) as Segment)
  const [[, packet] = []] = libc.of('sendTo').slice(before)
  const flags = flag.ack | flag.psh
  t.strictSame(packet, segmentPacket({ ...segment, flags, data: Buffer.alloc(0) }))
  await port.close()
  port.pass(readSegment(segmentPacket(segment)) as Segment)
  t.equal(libc.of('sendTo').length, before + 1, 'after its end nothing')
})

t.test('what the kernel or nft refuses leaves nothing open', async t => {
  const { strays, libc, state } = world()
  state.refusal = new Error('nft: no')
  await t.rejects(
    strays.open('10.0.0.100', [443], () => {}),
    { message: 'nft: no' },
  )
  t.equal(libc.open.size, 0)
  await t.rejects(
    strays.open('10.0.0.100; flush ruleset', [443], () => {}),
    {
      message: /no answer/,
    },
  )
  libc.inbox.push(bound)
  await t.rejects(
    strays.open('10.0.0.100; flush ruleset', [443], () => {}),
    {
      code: 'ERR_HANDFAST_USAGE',
    },
  )
  libc.fails.set('socket', 'EPERM')
  await t.rejects(
    strays.open('10.0.0.100', [443], () => {}),
    { code: 'EPERM' },
  )
  t.equal(libc.open.size, 0)
})

t.test(
  'what is missing is said in a sentence, and nothing is changed by asking',
  async t => {
    const { strays, libc, state, scripts } = world()
    t.equal(await strays.missing(), undefined)
    t.match(scripts, [/^check table/])
    t.match(await strays.missing(), {
      reason: 'no-packet-log',
      text: /^the kernel needs nfnetlink_log \(nfnetlink_log: no answer\)$/,
    })
    libc.inbox.push(bound)
    state.refusal = new Error('nft: ENOENT')
    t.match(await strays.missing(), { reason: 'no-nft', text: /command nft.*ENOENT/ })
    t.equal(libc.open.size, 0)
  },
)
