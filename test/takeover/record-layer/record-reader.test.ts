import t from 'tap'
import { RecordReader } from '../../../lib/takeover/record-layer/record-reader.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'

const seed = testSeed()
const random = seededRandom(seed)
t.comment(`SEED=${seed}`)

t.test('records are cut from pieces of any size', async t => {
  const records = Array.from({ length: 60 }, (_, i) =>
    record(17 + ((i * 911) % 16_000), i),
  )
  const all = Buffer.concat(records)
  for (const most of [1, 7, 1_000, 100_000]) {
    const reader = new RecordReader()
    const read: Buffer[] = []
    const limit = most === 1 ? 20_000 : all.length
    for (let at = 0; at < limit; ) {
      const size = Math.min(limit - at, 1 + Math.floor(random() * most))
      reader.push(all.subarray(at, at + size))
      at += size
      for (let next = reader.next(); next !== undefined; next = reader.next())
        read.push(next)
    }
    const bytes = Buffer.concat([...read, reader.take()])
    t.ok(bytes.equals(all.subarray(0, limit)), `pieces of up to ${most}`)
    t.ok(read.every((got, i) => got.equals(records[i] as Buffer)))
    t.equal(reader.held, 0)
  }
})

t.test('a header that no sealed record has is refused before its bytes come', async t => {
  const refused = (bytes: number[], alert: string) => {
    const reader = new RecordReader()
    reader.push(Buffer.from(bytes))
    t.throws(() => reader.next(), { code: 'ERR_HANDFAST_PROTOCOL', alert })
  }
  refused([23, 3, 3, 0x41, 0x01], 'record_overflow')
  refused([23, 3, 3, 0xff, 0xff], 'record_overflow')
  refused([23, 3, 3, 0, 16], 'bad_record_mac')
  refused([23, 3, 3, 0, 0], 'bad_record_mac')
  // In clear: alerts, handshakes, what a change_cipher_spec would be, and HTTP.
  for (const type of [20, 21, 22, 24, 0, 0x47]) {
    refused([type, 3, 3, 0, 30], 'unexpected_message')
  }
})

t.test('the longest there may be is read', async t => {
  const reader = new RecordReader()
  reader.push(record(16_384 + 256, 1))
  t.equal(reader.next()?.length, 16_384 + 256 + 5)
})

function record(length: number, fill: number): Buffer {
  const bytes = Buffer.alloc(5 + length, fill)
  bytes.set([23, 3, 3, length >> 8, length & 0xff])
  return bytes
}
