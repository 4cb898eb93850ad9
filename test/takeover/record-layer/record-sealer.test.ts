import { createCipheriv } from 'node:crypto'
import t from 'tap'
import { findLibcrypto } from '../../../lib/takeover/native/libcrypto.ts'
import { trafficKeys } from '../../../lib/takeover/record-layer/key-schedule.ts'
import { fullRecord, recordOverhead } from '../../../lib/takeover/record-layer/layout.ts'
import { RecordOpener } from '../../../lib/takeover/record-layer/record-opener.ts'
import { RecordSealer } from '../../../lib/takeover/record-layer/record-sealer.ts'
import {
  isSuiteName,
  type SuiteName,
  suites,
} from '../../../lib/takeover/record-layer/suite.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'

const seed = testSeed()
const random = seededRandom(seed)
t.comment(`SEED=${seed}`)

const library = await findLibcrypto()

const names = Object.keys(suites) as SuiteName[]

t.test('what one seals in pieces the other opens, in each suite', async t => {
  for (const suite of names) {
    const sealer = new RecordSealer(suite, secretOf(suite), 0)
    const opener = new RecordOpener(suite, secretOf(suite), 0)
    for (const length of [1, 2, 100, fullRecord - 1, fullRecord]) {
      const content = randomBytes(length)
      const record = sealInPieces(sealer, content)
      t.equal(record.length, length + recordOverhead)
      t.same(opener.open(record), { type: 23, content }, `${suite}, ${length} bytes`)
    }
    const update = sealer.seal(22, Buffer.from([24, 0, 0, 1, 0]))
    sealer.keys.update()
    t.equal(opener.open(update).type, 22)
    opener.keys.update()
    t.equal(
      opener.open(sealer.seal(23, Buffer.from('new keys'))).content.toString(),
      'new keys',
    )
    t.equal(sealer.keys.number, 1)
  }
})

t.test('the pieces make no difference', async t => {
  const suite = 'TLS_AES_256_GCM_SHA384'
  const content = randomBytes(10_000)
  const whole = new RecordSealer(suite, secretOf(suite), 5).seal(23, content)
  for (let i = 0; i < 20; i++) {
    const sealer = new RecordSealer(suite, secretOf(suite), 5)
    t.ok(sealInPieces(sealer, content).equals(whole))
  }
})

const both = library === undefined ? { skip: 'needs Linux and the package koffi' } : {}

t.test('OpenSSL called directly seals as node:crypto does', both, async t => {
  for (const suite of names) {
    const ours = new RecordSealer(suite, secretOf(suite), 2 ** 32 - 2, library)
    const nodes = new RecordSealer(suite, secretOf(suite), 2 ** 32 - 2, 'node:crypto')
    for (let i = 0; i < 6; i++) {
      const content = randomBytes(1 + Math.floor(random() * fullRecord))
      t.ok(sealInPieces(ours, content).equals(sealInPieces(nodes, content)), suite)
      if (i === 3) for (const { keys } of [ours, nodes]) keys.update()
    }
    t.equal(ours.keys.number, nodes.keys.number)
    t.ok(ours.seal(21, Buffer.from([1, 0])).equals(nodes.seal(21, Buffer.from([1, 0]))))
    for (const sealer of [ours, nodes]) {
      sealer.wipe()
      t.throws(() => sealer.seal(23, Buffer.from('x')), /the key is gone/)
    }
  }
})

t.test('nothing is written beside a buffer', both, async t => {
  const sealer = library?.sealer('aes-128-gcm', Buffer.alloc(16))
  const [nonce, header, out] = [Buffer.alloc(12), Buffer.alloc(5), Buffer.alloc(40)]
  sealer?.begin(nonce, header)
  for (const at of [-1, 10, 41]) {
    t.throws(() => sealer?.add(Buffer.alloc(31), out, at), /no room/)
  }
  sealer?.add(Buffer.alloc(31), out, 9)
  t.throws(() => sealer?.end(out, 25), /no room/)
  t.throws(() => sealer?.begin(Buffer.alloc(11), header), /a nonce/)
  t.throws(() => library?.sealer('aes-256-gcm', Buffer.alloc(16)), /a key/)
  sealer?.wipe()
  sealer?.wipe()
  t.throws(() => sealer?.begin(nonce, header), /the key is gone/)
  t.throws(() => sealer?.add(nonce, out, 0), /the key is gone/)
})

t.test('numbers beyond 2^32 go into the nonce as they are', async t => {
  for (const number of [2 ** 32 - 1, 2 ** 32, 2 ** 33 + 5, 2 ** 53 - 2]) {
    const suite = 'TLS_CHACHA20_POLY1305_SHA256'
    const record = new RecordSealer(suite, secretOf(suite), number).seal(
      23,
      Buffer.from('x'),
    )
    const { key, iv } = trafficKeys(suite, secretOf(suite))
    const padded = Buffer.alloc(12)
    padded.writeBigUInt64BE(BigInt(number), 4)
    const nonce = iv.map((byte, i) => byte ^ (padded[i] as number))
    const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 })
    cipher.setAAD(record.subarray(0, 5), { plaintextLength: 2 })
    t.ok(record.subarray(5, 7).equals(cipher.update(Buffer.from([120, 23]))), `${number}`)
    t.ok(new RecordOpener(suite, secretOf(suite), number).tryOpen(record))
  }
})

t.test('another number, another key and another byte do not open', async t => {
  for (const suite of names) {
    const record = new RecordSealer(suite, secretOf(suite), 3).seal(
      23,
      Buffer.from('text'),
    )
    const open = (bytes: Buffer, number = 3, secret = secretOf(suite)) =>
      new RecordOpener(suite, secret, number).tryOpen(bytes)
    t.ok(open(record))
    t.equal(open(record, 4), undefined)
    t.equal(open(record, 3 + 2 ** 32), undefined)
    t.equal(open(record, 3, Buffer.alloc(suites[suite].hashBytes, 9)), undefined)
    for (let i = 0; i < record.length; i++) {
      const bad = Buffer.from(record)
      bad.writeUInt8((bad[i] as number) ^ 1, i)
      t.equal(open(bad), undefined, `byte ${i}`)
    }
    t.equal(open(record.subarray(0, record.length - 1)), undefined)
    t.equal(open(Buffer.alloc(0)), undefined)
  }
})

t.test('the inner type is behind the padding, and has to be there', async t => {
  const suite = 'TLS_AES_128_GCM_SHA256'
  const open = (inner: Buffer) => {
    // The last byte is taken for the type by the one who seals.
    const [content, type] = [inner.subarray(0, -1), inner.at(-1) as number]
    const record = new RecordSealer(suite, secretOf(suite), 0).seal(type, content)
    return new RecordOpener(suite, secretOf(suite), 0).open(record)
  }
  t.same(open(Buffer.from([7, 0, 8, 23, 0, 0, 0])), {
    type: 23,
    content: Buffer.from([7, 0, 8]),
  })
  t.throws(() => open(Buffer.alloc(30)), {
    code: 'ERR_HANDFAST_PROTOCOL',
    alert: 'unexpected_message',
  })
  t.throws(() => open(Buffer.alloc(fullRecord + 2, 23)), {
    code: 'ERR_HANDFAST_PROTOCOL',
    alert: 'record_overflow',
  })
  t.equal(open(Buffer.alloc(fullRecord + 1, 23)).content.length, fullRecord)
})

t.test('wiped keys seal nothing that can be opened', async t => {
  const suite = 'TLS_AES_128_GCM_SHA256'
  const sealer = new RecordSealer(suite, secretOf(suite), 0)
  const { secret } = sealer.keys
  sealer.keys.wipe()
  t.ok(secret.every(byte => byte === 0))
})

t.test('suites are told by their names', async t => {
  t.ok(names.every(isSuiteName))
  for (const other of ['TLS_AES_128_CCM_SHA256', 'toString', '', undefined]) {
    t.notOk(isSuiteName(other))
  }
})

function secretOf(suite: SuiteName): Buffer {
  return Buffer.alloc(suites[suite].hashBytes, suite)
}

function randomBytes(length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)))
}

function sealInPieces(sealer: RecordSealer, content: Buffer): Buffer {
  const out = Buffer.alloc(content.length + recordOverhead)
  let at = sealer.begin(content.length, out, 0)
  let done = 0
  while (sealer.missing > 0) {
    const size = 1 + Math.floor(random() * sealer.missing)
    at = sealer.add(content.subarray(done, done + size), out, at)
    done += size
  }
  return out.subarray(0, at)
}
