import t from 'tap'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import {
  FrameReader,
  frameHeader,
  frameHeaderLength,
  frameTypes,
  maxFrameBody,
  writeFrame,
} from '../../lib/wire/frame.ts'
import { ByteReader, ByteWriter } from '../../lib/wire/frame-bytes.ts'
import {
  type Greeting,
  maxMembers,
  readGreeting,
  readState,
  streamVersion,
  writeGreeting,
  writeState,
} from '../../lib/wire/frame-greeting.ts'
import { readAnswer, readGet, writeAnswer, writeGet } from '../../lib/wire/frame-query.ts'
import { readTimes, writeTimes } from '../../lib/wire/frame-time.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'

const record: CacheRecord = {
  table: tables.session,
  key: Buffer.from('key'),
  value: Buffer.from('value'),
  version: { ms: 1_700_000_000_000, logical: 3, node: 4 },
  expiresAt: 1_700_000_060_000,
  tombstone: false,
}
const greeting: Greeting = {
  version: streamVersion,
  id: 'proxy-1',
  incarnation: 2 ** 48 - 1,
  state: 'ready',
  carrier: 'datagram',
  port: 8_443,
  advertise: '[2001:db8::1]:8443',
  members: [{ id: 'proxy-2', incarnation: 1, address: 'proxy-2.example:1' }],
}

/** Every kind of body, its reader, and what was written. */
const bodies: [string, Buffer, (body: Buffer) => unknown, unknown][] = [
  ['greeting', writeGreeting(greeting), readGreeting, greeting],
  ['state', writeState('ready'), body => readState(body[0]), 'ready'],
  [
    'get',
    writeGet({ id: 1, table: tables.session, key: record.key }),
    readGet,
    { id: 1, table: tables.session, key: record.key },
  ],
  [
    'answer',
    writeAnswer({ id: 2 ** 32 - 1, record }),
    readAnswer,
    { id: 2 ** 32 - 1, record },
  ],
  [
    'no answer',
    writeAnswer({ id: 3, record: undefined }),
    readAnswer,
    { id: 3, record: undefined },
  ],
  ['time', writeTimes({ wall: 1, farm: 2 ** 47 }), readTimes, { wall: 1, farm: 2 ** 47 }],
]

t.test('sizes', async t => {
  t.equal(frameHeaderLength, 5)
  t.equal(maxFrameBody, 1_048_576)
  t.equal(writeFrame(frameTypes.ping, Buffer.alloc(0)).toString('hex'), '0000000007')
  t.equal(frameHeader(frameTypes.message, 0x10203).toString('hex'), '0001020312')
  t.equal(new Set(Object.values(frameTypes)).size, Object.keys(frameTypes).length)
})

t.test('what is written is read', async t => {
  for (const [name, body, read, wanted] of bodies) t.same(read(body), wanted, name)
})

t.test('a body that is cut or too long is an error, wherever', async t => {
  for (const [name, body, read] of bodies) {
    if (name === 'state') continue
    for (let end = 0; end < body.length; end++) {
      t.throws(
        () => read(body.subarray(0, end)),
        { code: 'ERR_HANDFAST_PROTOCOL' },
        `${name} cut at ${end}`,
      )
    }
    t.throws(() => read(Buffer.concat([body, Buffer.alloc(1)])), {
      code: 'ERR_HANDFAST_PROTOCOL',
    })
  }
})

t.test('what must not be', async t => {
  const bad: [string, () => unknown][] = [
    ['a state that is not one', () => readState(3)],
    ['no state', () => readState(undefined)],
    ['an answer of no kind', () => readAnswer(Buffer.from([0, 0, 0, 1, 2]))],
    ['a get in table 0', () => readGet(Buffer.from([0, 0, 0, 1, 0, 1, 1]))],
    [
      'an id that breaks lines',
      () => readGreeting(writeGreeting({ ...greeting, id: 'a\nb' })),
    ],
    ['no id', () => readGreeting(writeGreeting({ ...greeting, id: '' }))],
    ['a long id', () => readGreeting(writeGreeting({ ...greeting, id: 'x'.repeat(65) }))],
    [
      'an address of its own kind',
      () => readGreeting(writeGreeting({ ...greeting, advertise: 'a b:1' })),
    ],
    [
      'an address without port',
      () => readGreeting(writeGreeting({ ...greeting, advertise: 'a' })),
    ],
  ]
  for (const [name, read] of bad) t.throws(read, { code: 'ERR_HANDFAST_PROTOCOL' }, name)
  t.throws(
    () => writeFrame(frameTypes.message, Buffer.alloc(maxFrameBody + 1)),
    RangeError,
  )
  t.throws(() => frameHeader(frameTypes.message, maxFrameBody + 1), RangeError)
  t.throws(
    () => writeGet({ id: 1, table: tables.auth, key: Buffer.alloc(0) }),
    RangeError,
  )
})

t.test('bounds', async t => {
  const members = Array.from({ length: maxMembers + 5 }, (_, i) => ({
    id: `m${i}`,
    incarnation: i,
    address: `h:${i + 1}`,
  }))
  const many = writeGreeting({ ...greeting, members })
  t.equal(readGreeting(many).members.length, maxMembers)
  t.ok(many.length < maxFrameBody)
  t.same(
    readGreeting(Buffer.from([streamVersion + 1, 1, 2, 3])).version,
    streamVersion + 1,
    'of another version only that',
  )
  const out = new ByteWriter()
  for (let i = 0; i < 1_000; i++) out.uint16(i)
  const read = new ByteReader(out.done())
  for (let i = 0; i < 1_000; i++) if (read.uint16() !== i) t.fail(`at ${i}`)
  read.end()
})

t.test('frames come out however the bytes are split', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const sent = Array.from({ length: 300 }, (_, i) => ({
    type: 1 + (i % 17),
    body: Buffer.alloc(Math.floor(random() ** 4 * 70_000), i),
  }))
  const stream = Buffer.concat(sent.map(({ type, body }) => writeFrame(type as 1, body)))
  for (const largest of [1, 7, 5_000, stream.length]) {
    const reader = new FrameReader()
    const got: { type: number; body: Buffer }[] = []
    const end = largest === 1 ? 20_000 : stream.length
    for (let at = 0; at < end; ) {
      const next = Math.min(end, at + 1 + Math.floor(random() * largest))
      for (const { type, body } of reader.read(stream.subarray(at, next))) {
        got.push({ type, body: Buffer.from(body) })
      }
      at = next
    }
    t.same(got, sent.slice(0, got.length), `pieces up to ${largest}`)
    t.ok(largest === 1 || got.length === sent.length)
  }
})

t.test('a frame over the limit is refused by its header', async t => {
  const reader = new FrameReader()
  t.same(reader.read(Buffer.from([0, 0x10, 0, 0])), [])
  t.same(reader.read(Buffer.from([1])), [], 'the largest frame is waited for')
  const over = Buffer.from([0, 0x10, 0, 1, 1])
  t.throws(() => new FrameReader().read(over), { code: 'ERR_HANDFAST_PROTOCOL' })
})

t.test('mutated bodies are read or refused, nothing else', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  let refused = 0
  for (let round = 0; round < 20_000; round++) {
    const picked = bodies[Math.floor(random() * bodies.length)]
    if (picked === undefined) return
    const [name, body, read] = picked
    const mutated = Buffer.from(body)
    for (let i = 0; i <= random() * 4; i++) {
      mutated[Math.floor(random() * mutated.length)] = Math.floor(random() * 256)
    }
    try {
      read(mutated)
    } catch (error) {
      refused += 1
      if ((error as { code?: string }).code !== 'ERR_HANDFAST_PROTOCOL') {
        t.fail(`${name} ${mutated.toString('hex')}: ${error}`)
        return
      }
    }
  }
  t.ok(refused > 1_000)
})
