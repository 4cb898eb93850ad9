import { randomBytes } from 'node:crypto'
import t from 'tap'
import { HelloReader } from '../../../lib/resumption/hello/hello-reader.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'
import { captureHello, splitRecords } from '../../fixtures/tls/hello.ts'

t.test("a hello of Node's client", async t => {
  const hello13 = await captureHello({
    servername: 'Shop.Example',
    ALPNProtocols: ['h2', 'http/1.1'],
  })
  const hello12 = await captureHello({ servername: 'a.test', maxVersion: 'TLSv1.2' })

  t.test('is read in one piece', async t => {
    const reader = new HelloReader()
    t.match(reader.push(hello13), {
      serverName: 'shop.example',
      supports13: true,
      allowsPskDhe: true,
      extendedMasterSecret: true,
      identities: [],
    })
    t.same(reader.bytes, hello13, 'and its bytes are kept as they came')
    t.equal(reader.records, 1)
    t.match(new HelloReader().push(hello12), { serverName: 'a.test', supports13: false })
  })

  t.test('is read byte by byte', async t => {
    const reader = new HelloReader()
    for (const byte of hello13.subarray(0, -1)) {
      t.equal(reader.push(Buffer.of(byte)), 'more')
    }
    t.match(reader.push(hello13.subarray(-1)), { serverName: 'shop.example' })
    t.same(reader.bytes, hello13)
  })

  t.test('is read over many records', async t => {
    for (const size of [3, 4, 50, 300]) {
      const bytes = splitRecords(hello13.subarray(0), size)
      const reader = new HelloReader()
      const whole = reader.push(bytes)
      if (bytes.length / size < 60)
        t.match(whole, { serverName: 'shop.example' }, `${size}`)
      else t.equal(whole, 'other', 'but not over more records than any client makes')
      t.same(reader.bytes, bytes)
    }
  })

  t.test('never breaks the reader, however it is mutated or cut', async t => {
    const seed = testSeed()
    t.comment(`SEED=${seed}`)
    const random = seededRandom(seed)
    const outcomes = { hello: 0, more: 0, other: 0 }
    for (let round = 0; round < 10_000; round += 1) {
      const bytes = Buffer.from(round % 2 === 0 ? hello13 : hello12)
      const mutations = Math.floor(random() * 4)
      for (let n = 0; n < mutations; n += 1) {
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
      }
      const cut = random() < 0.5 ? bytes.length : Math.floor(random() * bytes.length)
      const split = Math.floor(random() * cut)
      const reader = new HelloReader()
      let result = reader.push(bytes.subarray(0, split))
      if (result === 'more') result = reader.push(bytes.subarray(split, cut))
      outcomes[typeof result === 'string' ? result : 'hello'] += 1
    }
    for (const [outcome, count] of Object.entries(outcomes)) {
      t.ok(count > 100, `${outcome}: ${count}`)
    }
  })
})

t.test('what is no ClientHello is left to TLS', async t => {
  const cases = {
    'plain HTTP': Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
    '16 KiB of zeros': Buffer.alloc(16_384),
    'an SSLv2 hello': Buffer.from([0x80, 0x2e, 1, 3, 1]),
    'an alert': Buffer.from([21, 3, 3, 0, 2, 2, 40]),
    'an empty record': Buffer.from([22, 3, 1, 0, 0]),
    'a record beyond 16 KiB': Buffer.from([22, 3, 1, 0x50, 0]),
    'another handshake message': Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]),
    'a hello that announces 1 MiB': Buffer.from([22, 3, 1, 0, 4, 1, 16, 0, 0]),
    'a name of more than 255 bytes': helloWithName('a'.repeat(256)),
  }
  for (const [name, bytes] of Object.entries(cases)) {
    const reader = new HelloReader()
    t.equal(reader.push(bytes), 'other', name)
    t.same(reader.bytes, bytes)
  }
})

t.test('a hello that never ends is given up at 64 KiB', async t => {
  const reader = new HelloReader()
  const record = Buffer.concat([
    Buffer.from([22, 3, 1, 0x40, 0]),
    Buffer.alloc(16_384, 1),
  ])
  record.writeUIntBE(0x01_00ff00, 5, 4)
  t.equal(reader.push(record), 'more')
  let pushed = record.length
  while (reader.push(Buffer.from([22, 3, 1, 0x40, 0])) === 'more') {
    pushed += 5
    const fragment = randomBytes(16_384)
    pushed += fragment.length
    if (reader.push(fragment) !== 'more') break
  }
  t.ok(pushed < 5 * 16_384, `after ${pushed} bytes`)
})

function helloWithName(name: string): Buffer {
  const vector = (bytes: Buffer) => {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(bytes.length)
    return Buffer.concat([length, bytes])
  }
  const list = vector(Buffer.concat([Buffer.of(0), vector(Buffer.from(name))]))
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    Buffer.from([0, 0, 2, 0x13, 1, 1, 0]),
    vector(Buffer.concat([Buffer.from([0, 0]), vector(list)])),
  ])
  const header = Buffer.from([22, 3, 1, 0, 0, 1, 0, 0, 0])
  header.writeUInt16BE(body.length + 4, 3)
  header.writeUIntBE(body.length, 6, 3)
  return Buffer.concat([header, body])
}
