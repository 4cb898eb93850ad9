import { randomBytes } from 'node:crypto'
import t from 'tap'
import { tables } from '../../lib/record/key.ts'
import {
  frames,
  nonceLength,
  proofLength,
  readDone,
  readFigures,
  readHello,
  readNumber,
  readPut,
  readRecords,
  readWelcome,
  writeDone,
  writeFigures,
  writeHello,
  writeNumber,
  writePut,
  writeRecords,
  writeWelcome,
} from '../../lib/repository/frames.ts'
import { record } from '../fixtures/table/records.ts'

const proof = randomBytes(proofLength)
const nonce = randomBytes(nonceLength)

t.test('sizes', async t => {
  t.equal(writeHello({ pid: 1, ring: 2, nonce, proof }).length, 1 + 4 + 1 + 32 + 32)
  const place = { pid: 3, descriptors: [4, 5], id: '0011223344556677' }
  const welcome = { proof, ring: undefined, member: 'host', place }
  t.equal(writeWelcome(welcome).length, 32 + 1 + 5 + 4 + 8 + 1 + 8)
  const put = { number: 1, level: 'one', budget: 10, record: record() } as const
  t.equal(writePut(put).length, 6 + 1 + 4 + 22 + 3 + 5)
  t.equal(writeDone([{ number: 1, reached: true }]).length, 7)
  t.equal(writeRecords({ last: 1, records: [record()] }).length, 6 + 4 + 22 + 3 + 5)
  t.equal(writeNumber(1).length, 6)
  t.equal(new Set(Object.values(frames)).size, Object.keys(frames).length)
})

t.test('what is written is read', async t => {
  for (const ring of [undefined, 0, 63]) {
    t.same(readHello(writeHello({ pid: 9, ring, nonce, proof })), {
      pid: 9,
      ring,
      nonce,
      proof,
    })
    for (const place of [
      undefined,
      { pid: 3, descriptors: [4, 5], id: '0011223344556677' },
    ]) {
      const welcome = { proof, ring, member: 'host', place }
      t.same(readWelcome(writeWelcome(welcome)), welcome)
    }
  }
  for (const level of ['local', 'one', 'all'] as const) {
    const put = { number: 7, level, budget: 500, record: record({ table: tables.auth }) }
    t.same(readPut(writePut(put)), put)
  }
  const done = [
    { number: 1, reached: true },
    { number: 5, reached: false },
  ]
  t.same(readDone(writeDone(done)), done)
  const told = { last: 8, records: [record({ key: 'a' }), record({ key: 'b' })] }
  t.same(readRecords(writeRecords(told)), told)
  t.equal(readNumber(writeNumber(2 ** 48 - 1)), 2 ** 48 - 1)
  t.same(readFigures(writeFigures(3, { a: [1] })), { id: 3, figures: { a: [1] } })
})

t.test('what is cut short, or too long, or makes no sense is an error', async t => {
  const whole = [
    [readHello, writeHello({ pid: 9, ring: 1, nonce, proof })],
    [readWelcome, writeWelcome({ proof, ring: 1, member: 'm', place: undefined })],
    [readPut, writePut({ number: 7, level: 'all', budget: 5, record: record() })],
    [readRecords, writeRecords({ last: 8, records: [record()] })],
    [readNumber, writeNumber(3)],
  ] as const
  const error = { code: 'ERR_HANDFAST_PROTOCOL' }
  for (const [read, body] of whole) {
    t.throws(() => read(body.subarray(0, -1)), error)
    t.throws(() => read(Buffer.concat([body, Buffer.alloc(1)])), error)
  }
  const hello = writeHello({ pid: 9, ring: 1, nonce, proof })
  hello[0] = 3
  t.equal(readHello(hello), undefined, 'another version')
  const put = writePut({ number: 7, level: 'all', budget: 5, record: record() })
  put[6] = 9
  t.throws(() => readPut(put), error, 'no such level')
  const many = writeRecords({ last: 8, records: [record()] })
  many.writeUInt32BE(2 ** 32 - 1, 6)
  t.throws(() => readRecords(many), error, 'more records than there is room')
  t.throws(() => readFigures(Buffer.from('000000null')), error)
})
