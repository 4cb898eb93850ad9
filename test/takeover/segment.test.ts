import t from 'tap'
import {
  addressProbe,
  announcementLength,
  announcements,
  isOfAnother,
} from '../../lib/takeover/native/packets/announcement.ts'
import {
  type BareSegment,
  flag,
  readSegment,
  segmentPacket,
} from '../../lib/takeover/native/packets/segment.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'

const probe: BareSegment = {
  source: { address: '10.0.0.100', port: 443 },
  destination: { address: '10.0.0.7', port: 51_234 },
  sequence: 0xffff_fffe,
  acknowledgment: 77,
  flags: flag.ack,
  window: 1024,
  timestamps: { value: 0xdead_beef, echo: 5 },
  data: Buffer.from([42]),
}

t.test('a segment that is sent is read as it was', async t => {
  const { data, ...said } = probe
  t.strictSame(readSegment(segmentPacket(probe)), { ...said, sack: [], length: 1 })
  const { timestamps: _, ...bare } = said
  const without = segmentPacket({
    ...probe,
    timestamps: undefined,
    data: Buffer.alloc(0),
  })
  t.equal(without.length, 40)
  const expected = { ...bare, timestamps: undefined, sack: [], length: 0 }
  t.strictSame(readSegment(without), expected)
})

t.test('both checksums come out as zero when they are summed up again', async t => {
  const packet = segmentPacket(probe)
  const length = Buffer.from([0, 6, 0, packet.length - 20])
  const covered = Buffer.concat([packet.subarray(12, 20), length, packet.subarray(20)])
  t.equal(sum(packet.subarray(0, 20)), 0xffff)
  t.equal(sum(covered), 0xffff)
})

t.test('headers alone, without the bytes that they announce, are a segment', async t => {
  const packet = segmentPacket({ ...probe, data: Buffer.alloc(1000) })
  t.equal(readSegment(packet.subarray(0, 52))?.length, 1000)
  const padded = Buffer.concat([segmentPacket(probe), Buffer.alloc(20)])
  t.equal(readSegment(padded)?.length, 1, 'what fills up a short frame does not count')
})

t.test('blocks of SACK are read, of a duplicate as well', async t => {
  const blocks = [10, 20, 30, 40].flatMap(each => [0, 0, 0, each])
  const segment = readSegment(withOptions([1, 1, 5, 18, ...blocks, 0, 0, 0, 0]))
  t.strictSame(segment?.sack, [
    { start: 10, end: 20 },
    { start: 30, end: 40 },
  ])
})

const refused: { readonly [what: string]: Buffer } = {
  nothing: Buffer.alloc(0),
  'a header alone': segmentPacket(probe).subarray(0, 39),
  'options that are cut off': segmentPacket(probe).subarray(0, 51),
  'version 6': changed(0, 0x65),
  'a header of IP that is too short': changed(0, 0x44),
  'a header of IP that is longer than the packet': changed(0, 0x4f),
  'another protocol': changed(9, 17),
  'a first fragment': changed(6, 0x20),
  'a later fragment': changed(7, 1),
  'a length shorter than its headers': changed(3, 51),
  'a header of TCP that is too short': changed(32, 0x40),
  'a header of TCP that is longer than the packet': changed(32, 0xf0),
  'an option of no length': withOptions([9, 0, 0, 0]),
  'an option of length 1': withOptions([9, 1, 0, 0]),
  'an option that runs over the end': withOptions([1, 1, 9, 3]),
  'an option without its length': withOptions([1, 1, 1, 9]),
  'timestamps of another length': withOptions([8, 6, 0, 0, 0, 0, 0, 0]),
  'half a block of SACK': withOptions([5, 6, 0, 0, 0, 0, 0, 0]),
}

t.test('what is no whole segment is refused', async t => {
  for (const [what, packet] of Object.entries(refused)) {
    t.equal(readSegment(packet), undefined, what)
  }
})

t.test(
  'no packet, however it was made, makes the reader throw or read beyond',
  async t => {
    const seed = testSeed()
    t.comment(`SEED=${seed}`)
    const random = seededRandom(seed)
    const byte = () => Math.floor(random() * 256)
    let read = 0
    for (let round = 0; round < 20_000; round++) {
      const packet = Buffer.from(segmentPacket(probe))
      const changes = 1 + Math.floor(random() * 4)
      for (let each = 0; each < changes; each++) {
        packet[Math.floor(random() * packet.length)] = byte()
      }
      const cut = packet.subarray(0, Math.floor(random() * (packet.length + 20)))
      const segment = readSegment(random() < 0.5 ? packet : cut)
      if (segment === undefined) continue
      read++
      const inRange =
        segment.length >= 0 && segment.length <= 65_535 && segment.sack.length <= 4
      if (!inRange) t.fail(packet.toString('hex'))
    }
    t.ok(read > 1_000, `${read} were read`)
  },
)

t.test('an announcement is a request and a reply, to everybody', async t => {
  const mac = Buffer.from('020304050607', 'hex')
  const [request, reply] = announcements(mac, '10.0.0.100')
  const ip = '0a000064'
  const head = 'ffffffffffff0203040506070806000108000604'
  const sender = `${mac.toString('hex')}${ip}`
  t.equal(request?.toString('hex'), `${head}0001${sender}000000000000${ip}`)
  t.equal(reply?.toString('hex'), `${head}0002${sender}${mac.toString('hex')}${ip}`)
  t.equal(reply?.length, announcementLength)
  t.throws(() => announcements(mac, '::1'), { code: 'ERR_HANDFAST_USAGE' })
})

t.test(
  'a probe asks for an address in the name of none, and an answer is known',
  async t => {
    const mac = Buffer.from('020304050607', 'hex')
    const other = Buffer.from('0a0b0c0d0e0f', 'hex')
    const probe = addressProbe(mac, '10.0.0.100')
    const asked = '000108000604000102030405060700000000000000000000' + '0a000064'
    t.equal(probe.toString('hex'), asked)
    const [request, reply] = announcements(other, '10.0.0.100').map(frame =>
      frame.subarray(14),
    )
    for (const message of [request, reply]) {
      if (message === undefined) throw new Error('there are two')
      t.ok(isOfAnother(message, mac, '10.0.0.100'))
      t.notOk(isOfAnother(message, other, '10.0.0.100'), 'it is what we have said')
      t.notOk(isOfAnother(message, mac, '10.0.0.101'), 'of another address')
      t.notOk(isOfAnother(message.subarray(0, 27), mac, '10.0.0.100'), 'cut off')
      t.notOk(isOfAnother(Buffer.alloc(28), mac, '0.0.0.0'), 'no ARP')
    }
    t.notOk(isOfAnother(probe, other, '10.0.0.100'), 'who asks does not have it')
  },
)

function changed(at: number, to: number): Buffer {
  const packet = Buffer.from(segmentPacket(probe))
  packet[at] = to
  return packet
}

function withOptions(options: readonly number[]): Buffer {
  const bare = segmentPacket({ ...probe, timestamps: undefined, data: Buffer.alloc(0) })
  const packet = Buffer.concat([bare, Buffer.from(options)])
  packet[3] = packet.length
  packet[32] = ((20 + options.length) / 4) << 4
  return packet
}

/** RFC 1071: with the sum itself among them, all ones. */
function sum(bytes: Buffer): number {
  let total = 0
  for (const [at, byte] of bytes.entries()) total += at % 2 === 0 ? byte << 8 : byte
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return total
}
