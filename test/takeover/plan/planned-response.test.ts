import t from 'tap'
import {
  endOf,
  type PlannedResponse,
  recordAfter,
  recordsFor,
  remainderAt,
} from '../../../lib/takeover/plan/planned-response.ts'
import { fullRecord, recordOverhead } from '../../../lib/takeover/record-layer/layout.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'

const seed = testSeed()
const random = seededRandom(seed)
t.comment(`SEED=${seed}`)

const lengths = [
  0, 1, 100, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 70_000,
] as const

t.test('from any position on, a response in clear is the same bytes', async t => {
  for (const length of [0, 1, 100, 5_000]) {
    const response = planned(length, undefined)
    const whole = wireOf(response)
    t.equal(endOf(response), response.at + whole.length)
    for (let cut = 0; cut < whole.length; cut++) {
      const got = wireFrom(response, response.at + cut)
      if (!got.equals(whole.subarray(cut))) t.fail(`length ${length}, cut at ${cut}`)
    }
  }
})

t.test('so is one in records, from inside a header or a tag as well', async t => {
  for (const length of lengths) {
    const response = planned(length, 7)
    const whole = wireOf(response)
    t.equal(endOf(response), response.at + whole.length)
    for (const cut of cutsOf(whole.length)) {
      const got = wireFrom(response, response.at + cut)
      if (!got.equals(whole.subarray(cut))) t.fail(`length ${length}, cut at ${cut}`)
    }
  }
})

t.test('cut over and over, it is put together again', async t => {
  for (let round = 0; round < 200; round++) {
    const length = Math.floor(random() * 100_000)
    const response = planned(length, random() < 0.5 ? undefined : round)
    const whole = wireOf(response)
    const parts: Buffer[] = []
    let position = response.at
    while (position < endOf(response)) {
      const rest = wireFrom(response, position)
      const taken = rest.subarray(0, 1 + Math.floor(random() * rest.length))
      parts.push(taken)
      position += taken.length
    }
    if (!Buffer.concat(parts).equals(whole)) t.fail(`round ${round}`)
  }
})

t.test('what is no part of it is told from it', async t => {
  for (const record of [undefined, 3]) {
    for (const length of [0, 20_000]) {
      const response = planned(length, record)
      const end = endOf(response)
      t.same(remainderAt(response, response.at - 1), { kind: 'before' })
      t.equal(remainderAt(response, response.at).kind, 'rest')
      t.equal(remainderAt(response, end - 1).kind, 'rest')
      t.same(remainderAt(response, end), { kind: 'end' })
      t.same(remainderAt(response, end + 1), { kind: 'beyond' })
    }
  }
})

t.test('the head is sent as it was, whole in its record or from where it is', async t => {
  const plain = planned(10, undefined)
  t.match(remainderAt(plain, plain.at + 3), {
    head: plain.head.subarray(3),
    from: plain.first,
    length: 10,
    skip: 0,
  })
  const sealed = planned(10, 5)
  const rest = { head: sealed.head, from: sealed.first, length: 10, record: 5 }
  t.match(remainderAt(sealed, sealed.at + 3), { ...rest, skip: 3 })
  const lastOfHead = sealed.at + sealed.head.length + recordOverhead - 1
  t.match(remainderAt(sealed, lastOfHead), { ...rest, skip: lastOfHead - sealed.at })
  t.match(remainderAt(sealed, lastOfHead + 1), { record: 6, skip: 0, length: 10 })
})

t.test('a part of an object is gone on with in the object', async t => {
  const response = { ...planned(40_000, 0), first: 1_000_000 }
  const inThird = response.at + response.head.length + 3 * recordOverhead + 33_000
  t.match(remainderAt(response, inThird), {
    from: 1_000_000 + 2 * fullRecord,
    length: 40_000 - 2 * fullRecord,
    record: 3,
    skip: recordOverhead + 33_000 - recordOverhead - 2 * fullRecord,
  })
})

t.test('it is exact far beyond 2^32', async t => {
  // Where quotients of doubles are rounded up, too.
  for (const length of [6e9, 2 ** 40 + 1, 8.9e15]) {
    const response: PlannedResponse = {
      ...planned(0, 0),
      at: 2 ** 33 + 17,
      first: 3,
      length,
      record: 2 ** 34,
    }
    const [at, head] = [BigInt(response.at), BigInt(response.head.length)]
    const [full, over] = [BigInt(fullRecord), BigInt(recordOverhead)]
    const records = 1n + (BigInt(length) + full - 1n) / full
    const end = at + head + BigInt(length) + records * over
    t.equal(BigInt(endOf(response)), end)
    t.equal(BigInt(recordsFor(length)), records)
    t.equal(BigInt(recordAfter(response) as number), 2n ** 34n + records)
    for (let i = 0; i < 2_000; i++) {
      const inBody = BigInt(Math.floor(random() * length))
      // Half of them at the edge of a record.
      const number = i % 2 === 0 ? inBody / full : inBody / full + 1n
      const inside = i % 2 === 0 ? (inBody % full) + 5n : -1n
      const offset = number * (full + over) + inside
      const position = at + head + over + offset
      if (offset < 0n || position >= end) continue
      const before = offset / (full + over)
      const rest = remainderAt(response, Number(position))
      if (rest.kind !== 'rest') throw new Error(rest.kind)
      const expected = {
        from: Number(3n + before * full),
        length: Number(BigInt(length) - before * full),
        record: Number(2n ** 34n + 1n + before),
        skip: Number(offset % (full + over)),
      }
      for (const [name, value] of Object.entries(expected)) {
        const got = rest[name as keyof typeof expected]
        if (got !== value) t.fail(`${name} at ${position}: ${got}, not ${value}`)
      }
    }
  }
})

function planned(length: number, record: number | undefined): PlannedResponse {
  const head = Buffer.from('HTTP/1.1 200 OK\r\nETag: "a"\r\n\r\n')
  return { at: 1_234, head, first: 0, length, keepAlive: true, record }
}

/** All of a small response, and all cuts at which anything changes in a large one. */
function cutsOf(length: number): number[] {
  const cuts = new Set<number>()
  for (let cut = 0; cut < Math.min(length, 200); cut++) cuts.add(cut)
  for (let edge = 0; edge < length; edge += fullRecord) {
    for (let cut = edge - 120; cut < edge + 120; cut++) cuts.add(cut)
  }
  for (let i = 0; i < 100; i++) cuts.add(Math.floor(random() * length))
  return [...cuts].filter(cut => cut >= 0 && cut < length)
}

function wireFrom(response: PlannedResponse, position: number): Buffer {
  const rest = remainderAt(response, position)
  if (rest.kind !== 'rest') throw new Error(rest.kind)
  const body = objectFrom(rest.from, rest.length)
  if (rest.record === undefined) return Buffer.concat([rest.head, body])
  const parts: Buffer[] = []
  let { record } = rest
  if (rest.head.length > 0) parts.push(sealed(record++, rest.head))
  for (let at = 0; at < body.length; at += fullRecord) {
    parts.push(sealed(record++, body.subarray(at, at + fullRecord)))
  }
  return Buffer.concat(parts).subarray(rest.skip)
}

/** Made in another way: what a sender writes who never heard of positions. */
function wireOf({ head, first, length, record }: PlannedResponse): Buffer {
  const body = objectFrom(first, length)
  if (record === undefined) return Buffer.concat([head, body])
  const parts = [sealed(record, head)]
  for (let i = 0; i * fullRecord < length; i++) {
    const content = body.subarray(i * fullRecord, (i + 1) * fullRecord)
    parts.push(sealed(record + 1 + i, content))
  }
  return Buffer.concat(parts)
}

function objectFrom(from: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let i = 0; i < length; i++) bytes[i] = ((from + i) * 31) >>> 3
  return bytes
}

/** No cipher, but bytes that only this content under this number has. */
function sealed(record: number, content: Buffer): Buffer {
  const out = Buffer.alloc(content.length + recordOverhead, 0xee)
  out.writeUInt32BE(record, 0)
  for (let i = 0; i < content.length; i++) {
    out[5 + i] = (content[i] as number) ^ (record * 7 + i)
  }
  out.fill(record & 0xff, 5 + content.length)
  return out
}
