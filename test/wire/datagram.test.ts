import t from 'tap'
import { tables } from '../../lib/record/key.ts'
import { type CacheRecord, readRecord, writeRecord } from '../../lib/record/record.ts'
import {
  ackRequestedFlag,
  type DatagramHeader,
  datagramOverhead,
  datagramTypes,
  defaultDatagramLength,
  headerLength,
  incarnationOf,
  isDataType,
  magic,
  maxDatagramLength,
  readHeader,
  senderTag,
  tagLength,
  wireVersion,
  writeHeader,
} from '../../lib/wire/datagram.ts'
import {
  fragmentHeaderLength,
  fragmentRecord,
  maxFragments,
  readFragment,
} from '../../lib/wire/datagram-batch.ts'
import {
  accusationLength,
  goneLength,
  heartbeatLength,
  nackHeaderLength,
  rangeLength,
  readAccusation,
  readGone,
  readHeartbeat,
  readNack,
  readStatus,
  statusLength,
  writeAccusation,
  writeGone,
  writeHeartbeat,
  writeNack,
  writeStatus,
} from '../../lib/wire/datagram-control.ts'
import { Chance } from '../fixtures/simulator/chance.ts'

const farmTag = 0xdeadbeef
const sender = senderTag(0xabcd, 0x12345678)
const header: DatagramHeader = {
  type: datagramTypes.data,
  flags: ackRequestedFlag,
  epoch: 3,
  sender,
  sequence: 2 ** 40 + 5,
  tail: 2 ** 40 - 100,
  sentAt: 77,
}

function datagram(bodyLength = 10): Buffer {
  const bytes = Buffer.alloc(datagramOverhead + bodyLength)
  writeHeader(header, farmTag, bytes)
  return bytes
}

t.test('sizes', async t => {
  t.equal(headerLength, 32)
  t.equal(tagLength, 16)
  t.equal(datagramOverhead, 48)
  t.equal(defaultDatagramLength, 1_200)
  t.equal(wireVersion, 1)
  t.same([heartbeatLength, nackHeaderLength, rangeLength, statusLength], [20, 7, 10, 32])
  t.same([goneLength, accusationLength, fragmentHeaderLength], [14, 8, 4])
  t.equal(
    datagram(0).toString('hex', 0, headerLength),
    `${magic.toString(16)}110103deadbeefabcd000012345678${'0000010000000005'}${'00000069'}${'0000004d'}`,
    'the drawing',
  )
})

t.test('a header comes back as it went', async t => {
  t.same(readHeader(datagram(), farmTag), header)
  t.equal(incarnationOf(sender), 0x12345678)
  const young = { ...header, sequence: 1, tail: 1, type: datagramTypes.leave }
  const bytes = datagram()
  writeHeader(young, farmTag, bytes)
  t.same(readHeader(bytes, farmTag), young)
  t.notOk(isDataType(young.type))
  t.ok(isDataType(datagramTypes.fragment))
  const far = { ...header, sequence: 2 ** 52, tail: 1 }
  writeHeader(far, farmTag, bytes)
  t.equal(readHeader(bytes, farmTag)?.tail, 2 ** 52 - 0xffffffff, 'the delta saturates')
})

t.test('what is no datagram of this farm is not read', async t => {
  const bytes = datagram()
  const change = (at: number, value: number) => {
    const changed = Buffer.from(bytes)
    changed[at] = value
    return changed
  }
  const refused: [string, Buffer][] = [
    ['nothing', Buffer.alloc(0)],
    ['too short', bytes.subarray(0, datagramOverhead - 1)],
    ['too long', Buffer.concat([bytes, Buffer.alloc(maxDatagramLength)])],
    ['another magic', change(0, 0)],
    ['another version', change(1, 0x21)],
    ['type 0', change(1, 0x10)],
    ['an unknown type', change(1, 0x1a)],
    ['an unknown flag', change(2, 2)],
    ['another farm', change(7, 0)],
    ['something in the reserved bytes', change(10, 1)],
    ['a sequence number beyond 2^53', change(17, 0x20)],
    ['a tail before the first', Buffer.from(bytes).fill(0, 16, 23).fill(0xff, 24, 28)],
    ['sequence number 0', Buffer.from(bytes).fill(0, 16, 28)],
  ]
  for (const [what, refusedBytes] of refused)
    t.equal(readHeader(refusedBytes, farmTag), undefined, what)
})

const record: CacheRecord = {
  table: tables.session,
  key: Buffer.from('key'),
  value: Buffer.from('value'),
  version: { ms: 1_700_000_000_000, logical: 3, node: 4 },
  expiresAt: 1_700_000_100_000,
  tombstone: false,
}

t.test('a large record is cut into fragments', async t => {
  const large = { ...record, key: Buffer.alloc(255, 1), value: Buffer.alloc(65_536, 2) }
  const parts = fragmentRecord(large, 1_152)
  t.ok(parts.every(part => part.length <= 1_152))
  t.equal(parts.length, 58)
  t.ok(parts.length <= maxFragments)
  t.ok(fragmentRecord(large, 576 - datagramOverhead).length <= maxFragments)
  const whole = Buffer.concat(parts.map(part => readFragment(part).bytes))
  t.same(readRecord(whole, 0), large)
  const bad: [string, number, number, number][] = [
    ['a single fragment', 0, 1, 5],
    ['an index behind the end', 2, 2, 5],
    ['more than any record needs', 1, maxFragments + 1, 5],
    ['no bytes', 0, 2, 4],
  ]
  for (const [what, index, count, length] of bad) {
    const body = Buffer.alloc(length)
    body.writeUInt16BE(index, 0)
    body.writeUInt16BE(count, 2)
    t.throws(() => readFragment(body), { code: 'ERR_HANDFAST_PROTOCOL' }, what)
  }
})

const ranges = [
  { first: 2 ** 45, length: 1 },
  { first: 9, length: 64 },
]
const heartbeat = {
  last: 2 ** 40,
  tail: 7,
  lag: 12,
  ready: true,
  healthy: false,
  flush: true,
  refutations: 255,
}
const status = {
  target: sender,
  contiguous: 2 ** 50,
  highest: 2 ** 50 + 3,
  window: 4_096,
  echo: 0xffffffff,
  held: 3,
}

t.test('control bodies come back as they went', async t => {
  t.same(readHeartbeat(writeHeartbeat(heartbeat)), heartbeat)
  t.same(readNack(writeNack({ target: sender, ranges })), { target: sender, ranges })
  t.same(readStatus(writeStatus(status)), status)
  t.same(readGone(writeGone({ target: sender, tail: 5 })), { target: sender, tail: 5 })
  const accusation = { subject: sender, number: 65_535 }
  t.same(
    readAccusation(writeAccusation({ subject: sender, number: 1e9 })),
    accusation,
    'the number is cut at what fits',
  )
})

t.test('control bodies of any other form are refused', async t => {
  const protocol = { code: 'ERR_HANDFAST_PROTOCOL' }
  t.throws(() => readHeartbeat(Buffer.alloc(heartbeatLength + 1)), protocol)
  t.throws(() => readStatus(Buffer.alloc(statusLength - 1)), protocol)
  t.throws(() => readGone(Buffer.alloc(0)), protocol)
  t.throws(() => readAccusation(Buffer.alloc(9)), protocol)
  t.throws(() => readNack(Buffer.alloc(7)), protocol, 'no range')
  t.throws(() => readNack(Buffer.alloc(17).fill(1, 6, 7)), protocol, 'an empty range')
  const many = Buffer.alloc(nackHeaderLength + 65 * rangeLength, 1)
  many[6] = 65
  t.throws(() => readNack(many), protocol, 'too many ranges')
})

t.test('no bytes make a parser throw anything but a protocol error', async t => {
  const seed = 20_260
  const rounds = Number(process.env['HANDFAST_FUZZ'] ?? 20_000)
  t.comment(`seed ${seed}, ${rounds} inputs`)
  const chance = new Chance(seed)
  const body = Buffer.alloc(200)
  writeRecord(record, body, 0)
  const models = [
    datagram(),
    body,
    writeHeartbeat(heartbeat),
    writeNack({ target: sender, ranges }),
    writeStatus(status),
    fragmentRecord({ ...record, value: Buffer.alloc(2_000) }, 1_152)[0] ?? body,
  ]
  const parsers = [
    (bytes: Buffer) => readHeader(bytes, farmTag),
    (bytes: Buffer) => readRecord(bytes, 0),
    readFragment,
    readHeartbeat,
    readNack,
    readStatus,
    readGone,
    readAccusation,
  ]
  for (let round = 0; round < rounds; round++) {
    const model = chance.pick(models)
    const bytes = Buffer.from(model.subarray(0, chance.whole(0, model.length)))
    for (let i = chance.whole(0, 4); i > 0 && bytes.length > 0; i--)
      bytes[chance.whole(0, bytes.length - 1)] = chance.whole(0, 255)
    for (const parse of parsers) {
      try {
        parse(bytes)
      } catch (error) {
        if ((error as { code?: string }).code !== 'ERR_HANDFAST_PROTOCOL') {
          t.fail(`round ${round}: ${error}`)
          return
        }
      }
    }
  }
  t.pass(`${rounds} inputs`)
})
