import t from 'tap'
import { Tls13Channel } from '../../../lib/takeover/connection/tls13-channel.ts'
import {
  endOf,
  type PlannedResponse,
  recordAfter,
  remainderAt,
} from '../../../lib/takeover/plan/planned-response.ts'
import { type AlertName, alerts } from '../../../lib/takeover/record-layer/alert.ts'
import { fullRecord } from '../../../lib/takeover/record-layer/layout.ts'
import { type SuiteName, suites } from '../../../lib/takeover/record-layer/suite.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'
import { dataOf, Tls13Peer, tls13State } from '../../fixtures/takeover/tls13-peer.ts'

const seed = testSeed()
const random = seededRandom(seed)
t.comment(`SEED=${seed}`)

const names = Object.keys(suites) as SuiteName[]

t.test('what is said arrives, whatever it is said in, in each suite', async t => {
  for (const suite of names) {
    const { channel, peer } = pair(suite)
    const said = randomBytes(200_000)
    const heard: Buffer[] = []
    for (let at = 0; at < said.length; ) {
      const chunks = [1, 2, 3].map(() => {
        const chunk = said.subarray(at, at + Math.floor(random() * 30_000))
        at += chunk.length
        return chunk
      })
      heard.push(dataOf(peer.read(Buffer.concat(channel.say(chunks)))))
    }
    t.ok(Buffer.concat(heard).equals(said), suite)
    channel.push(Buffer.concat([peer.data('one'), peer.data('two')]))
    t.same([channel.hear(), channel.hear(), channel.hear()].map(String), [
      'one',
      'two',
      'undefined',
    ])
  }
})

t.test('a planned response has its records where the plan says', async t => {
  const { channel, peer } = pair()
  peer.read(Buffer.concat(channel.say([Buffer.from('before')])))
  const response = planned(100_000, channel.record)
  t.same(channel.makeRoom(response.length), [])
  channel.plan(response.head.length, response.length)
  const wire = sayAll(channel, response, 0)
  t.equal(wire.length, endOf(response) - response.at)
  t.notOk(channel.inPlan)
  t.equal(channel.record, recordAfter(response))
  const lengths = peer.read(wire).map(({ content }) => content.length)
  t.same(lengths, [response.head.length, ...Array(6).fill(fullRecord), 1_696])
})

t.test('any other channel goes on with it from any byte, to the bit', async t => {
  for (const suite of names) {
    const { channel } = pair(suite)
    const response = planned(60_000, 0)
    channel.plan(response.head.length, response.length)
    const whole = sayAll(channel, response, 0)
    const cuts = [0, 1, 4, 5, 6, 20, 70, 71, 72, 80, 16_480, 33_000, whole.length - 1]
    for (let i = 0; i < 30; i++) cuts.push(Math.floor(random() * whole.length))
    for (const cut of cuts) {
      const rest = remainderAt(response, response.at + cut)
      if (rest.kind !== 'rest') throw new Error(rest.kind)
      const other = new Tls13Channel(tls13State(suite))
      const { head, record, skip, length, from } = rest
      other.resume({ head: head.length, length, record, skip, last: false })
      const said = sayAll(other, { ...response, head }, from)
      if (!said.equals(whole.subarray(cut))) t.fail(`${suite}, cut at ${cut}`)
      t.equal(other.record, channel.record)
    }
  }
})

t.test('behind the rest of a response of another host nothing is sealed', async t => {
  const { channel, peer } = pair()
  const response = planned(40_000, 0)
  channel.plan(response.head.length, response.length)
  const whole = sayAll(channel, response, 0)
  const rest = remainderAt(response, response.at + 20_000)
  if (rest.kind !== 'rest') throw new Error(rest.kind)
  const other = new Tls13Channel(tls13State(names[0]))
  const { head, record, skip, length, from } = rest
  other.resume({ head: head.length, length, record, skip, last: true })
  t.ok(sayAll(other, { ...response, head }, from).equals(whole.subarray(20_000)))
  t.throws(() => other.say([Buffer.from('HTTP/1.1 200 OK')]))
  t.equal(other.makeRoom(1), false, 'no other response')
  other.push(peer.keyUpdate(1))
  t.equal(other.hear(), undefined)
  t.equal(other.answer(), undefined, 'no update of keys')
  t.equal(other.last(), undefined, 'not even a farewell')
})

t.test('nothing else takes a number within a planned response', async t => {
  const { channel, peer } = pair()
  const response = planned(40_000, 0)
  channel.plan(response.head.length, response.length)
  const body = objectFrom(0, 40_000)
  const parts: Buffer[] = [
    Buffer.concat(channel.say([response.head, body.subarray(0, 10_000)])),
  ]
  channel.push(Buffer.concat([peer.keyUpdate(1), peer.data('behind it')]))
  t.equal(channel.hear(), undefined, 'what comes behind the update waits')
  t.equal(channel.answer(), undefined)
  t.equal(channel.last(), undefined, 'not even a farewell')
  parts.push(...channel.say([body.subarray(10_000)]))
  const wire = Buffer.concat(parts)
  t.equal(wire.length, endOf(response) - response.at)
  t.ok(dataOf(peer.read(wire)).equals(Buffer.concat([response.head, body])))
  const answer = channel.answer()
  t.same(peer.read(answer as Buffer), [
    { type: 22, content: Buffer.from([24, 0, 0, 1, 0]) },
  ])
  t.equal(String(channel.hear()), 'behind it')
  t.equal(channel.answer(), undefined, 'once')
  t.equal(
    String(dataOf(peer.read(Buffer.concat(channel.say([Buffer.from('on')]))))),
    'on',
  )
})

t.test(
  'a client that changes its keys is followed, and answered when it asks',
  async t => {
    const { channel, peer } = pair()
    channel.push(Buffer.concat([peer.keyUpdate(0), peer.data('new')]))
    t.equal(String(channel.hear()), 'new')
    t.equal(channel.answer(), undefined)
    t.match(channel.state(), { readRecord: 1, writeRecord: 0 })
    channel.push(
      Buffer.concat([peer.keyUpdate(1), peer.keyUpdate(1), peer.data('newer')]),
    )
    t.equal(String(channel.hear()), 'newer')
    const answers = peer.read(channel.answer() as Buffer)
    t.equal(answers.length, 1, 'one answer to both')
    t.match(channel.state(), { readRecord: 1, writeRecord: 0 })
    // Another process goes on with the keys of now.
    const other = new Tls13Channel(channel.state())
    other.push(peer.data('to the other'))
    t.equal(String(other.hear()), 'to the other')
    t.equal(
      String(dataOf(peer.read(Buffer.concat(other.say([Buffer.from('yes')]))))),
      'yes',
    )
  },
)

t.test('a key is changed before it has sealed too many records', async t => {
  const state = tls13State()
  const channel = new Tls13Channel(state, 10)
  const peer = new Tls13Peer(state)
  const said = randomBytes(600_000)
  const records = peer.read(Buffer.concat(channel.say([said])))
  t.ok(dataOf(records).equals(said))
  t.ok(records.filter(({ type }) => type === 22).length >= 4)
  let inRow = 0
  for (const { type } of records) {
    inRow = type === 22 ? 0 : inRow + 1
    if (inRow > 9) t.fail('more records than the key may seal')
  }
})

t.test('a planned response is under one key, or is not planned', async t => {
  const state = tls13State()
  const channel = new Tls13Channel(state, 10)
  const peer = new Tls13Peer(state)
  t.equal(channel.makeRoom(9 * fullRecord), false)
  t.same(channel.makeRoom(7 * fullRecord), [])
  peer.read(Buffer.concat(channel.say([randomBytes(3 * fullRecord)])))
  const before = channel.makeRoom(7 * fullRecord)
  t.ok(before)
  t.same(
    peer.read(Buffer.concat(before || [])).map(({ type }) => type),
    [22],
  )
  t.equal(channel.record, 0)
  t.same(channel.makeRoom(7 * fullRecord), [])
})

t.test('a farewell ends what is heard, and what comes behind it is nothing', async t => {
  const { channel, peer } = pair()
  channel.push(Buffer.concat([peer.data('last'), peer.alert(90), peer.alert(0)]))
  t.equal(String(channel.hear()), 'last')
  t.equal(channel.hear(), 'end')
  channel.push(Buffer.from('GET / HTTP/1.1\r\n\r\n'))
  t.equal(channel.hear(), undefined)
  // It may still be spoken to.
  t.equal(String(dataOf(peer.read(Buffer.concat(channel.say([Buffer.from('a')]))))), 'a')
  const last = peer.read(channel.last() as Buffer)
  t.same(last, [{ type: 21, content: Buffer.from([1, 0]) }])
})

t.test('an alert of an error is told', async t => {
  for (const level of [1, 2]) {
    const { channel, peer } = pair()
    channel.push(peer.alert(42, level))
    t.throws(() => channel.hear(), { code: 'ERR_HANDFAST_PROTOCOL', alert: 42 })
  }
})

t.test('what a client may not say is refused with the alert for it', async t => {
  const refused = (alert: AlertName, say: (peer: Tls13Peer) => Buffer[]) => {
    const { channel, peer } = pair()
    channel.push(Buffer.concat(say(peer)))
    let fault: unknown
    try {
      while (channel.hear() !== undefined);
    } catch (error) {
      fault = error
    }
    t.match(fault, { code: 'ERR_HANDFAST_PROTOCOL', alert })
    const told = peer.read(channel.last(fault) as Buffer)
    t.same(told, [{ type: 21, content: Buffer.from([2, alerts[alert]]) }])
  }
  const handshake = (peer: Tls13Peer, ...bytes: number[]) =>
    peer.sealer.seal(22, Buffer.from(bytes))

  refused('bad_record_mac', peer => {
    const record = peer.data('a')
    record.writeUInt8((record.at(-1) as number) ^ 1, record.length - 1)
    return [record]
  })
  refused('bad_record_mac', peer => {
    peer.data('lost')
    return [peer.data('out of order')]
  })
  refused('bad_record_mac', peer => {
    const once = peer.data('twice')
    return [once, once]
  })
  refused('record_overflow', peer => [peer.sealer.seal(23, Buffer.alloc(fullRecord + 1))])
  refused('unexpected_message', () => [Buffer.from([20, 3, 3, 0, 1, 1])])
  refused('unexpected_message', () => [Buffer.from([21, 3, 3, 0, 2, 2, 40])])
  refused('unexpected_message', peer => [peer.sealer.seal(20, Buffer.from([1]))])
  refused('unexpected_message', peer => [peer.sealer.seal(99, Buffer.from([1]))])
  refused('unexpected_message', peer => [peer.sealer.seal(0, Buffer.alloc(9))])
  refused('decode_error', peer => [peer.sealer.seal(21, Buffer.from([1]))])
  refused('decode_error', peer => [peer.sealer.seal(21, Buffer.from([1, 0, 1, 0]))])
  // Handshake messages: a certificate that nobody asked for, a second hello, and KeyUpdates
  // that are none.
  refused('unexpected_message', peer => [handshake(peer, 11, 0, 0, 0)])
  refused('unexpected_message', peer => [handshake(peer, 1, 0, 0, 2, 3, 3)])
  refused('unexpected_message', peer => [handshake(peer)])
  refused('decode_error', peer => [handshake(peer, 24, 0, 0, 2, 0)])
  refused('illegal_parameter', peer => [handshake(peer, 24, 0, 0, 1, 2)])
  refused('unexpected_message', peer => [handshake(peer, 24, 0, 0, 1, 0, 24)])
  refused('unexpected_message', peer => [handshake(peer, 24, 0), peer.data('between')])
  refused('unexpected_message', peer =>
    Array.from({ length: 33 }, () => peer.keyUpdate(0)),
  )
  refused('unexpected_message', peer => Array.from({ length: 33 }, () => peer.data('')))
})

t.test('a KeyUpdate may come in pieces, and empty records now and then', async t => {
  const { channel, peer } = pair()
  const pieces = [[24], [0, 0], [1, 0]].map(piece =>
    peer.sealer.seal(22, Buffer.from(piece)),
  )
  peer.sealer.keys.update()
  channel.push(Buffer.concat([...pieces, peer.data(''), peer.data('here')]))
  t.equal(String(channel.hear()), 'here')
  for (let i = 0; i < 100; i++) {
    channel.push(Buffer.concat([peer.data(''), peer.keyUpdate(0), peer.data('more')]))
    t.equal(String(channel.hear()), 'more')
  }
})

t.test('the state is a copy, and the channel wipes its own', async t => {
  const given = tls13State()
  const channel = new Tls13Channel(given)
  const state = channel.state()
  channel.wipe()
  t.same(state, given)
  t.ok(channel.state().clientSecret.every(byte => byte === 0))
  t.ok(channel.state().serverSecret.every(byte => byte === 0))
})

function pair(suite?: SuiteName) {
  const state = tls13State(suite)
  return { channel: new Tls13Channel(state), peer: new Tls13Peer(state) }
}

function planned(length: number, record: number): PlannedResponse {
  const head = Buffer.from('HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 9\r\n\r\n')
  return { at: 777, head, first: 0, length, keepAlive: true, record }
}

/** Head and body from a byte on, in chunks of any size. */
function sayAll(
  channel: Tls13Channel,
  { head, length }: PlannedResponse,
  from: number,
): Buffer {
  const parts = head.length > 0 ? channel.say([head]) : []
  const body = objectFrom(0, length)
  for (let at = from; at < length; ) {
    const chunks = [1, 2].map(() => {
      const chunk = body.subarray(at, at + Math.floor(random() * 20_000))
      at += chunk.length
      return chunk
    })
    parts.push(...channel.say(chunks))
  }
  return Buffer.concat(parts)
}

function objectFrom(from: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => ((from + i) * 31) >>> 3))
}

function randomBytes(length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)))
}
