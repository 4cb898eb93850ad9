import t from 'tap'
import type { TcpParameters } from '../../lib/takeover/native/native-socket.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { TakeoverWorld, type WorldOptions } from '../fixtures/takeover/takeover-world.ts'

const seed = testSeed()
t.comment(`SEED=${seed}`)
const random = seededRandom(seed)
const below = (limit: number) => Math.floor(random() * limit)

const mss = 1_448

function parameters(more: Partial<TcpParameters> = {}): TcpParameters {
  return {
    sendStart: below(2 ** 32),
    receiveStart: below(2 ** 32),
    mss,
    sack: random() < 0.5,
    scale: random() < 0.8 ? { send: 7, receive: 9 } : undefined,
    timestamp: random() < 0.7 ? below(2 ** 32) : undefined,
    ...more,
  }
}

/** A response of 60 segments behind `base` bytes of others, cut somewhere. */
function cut(base: number, at: number, more: Partial<WorldOptions> = {}): WorldOptions {
  const length = 60 * mss
  const has = base + Math.floor(at * length)
  return {
    random,
    tcp: parameters(),
    end: base + length,
    acked: Math.max(base, has - below(30 * mss)),
    has,
    late: [],
    readPosition: 700,
    said: 700,
    saidAcked: 700,
    room: 60_000,
    owedUntil: base + length,
    loss: 0,
    twice: 0,
    address: 5 + random() * 60,
    ...more,
  }
}

function check(options: WorldOptions, what: string): TakeoverWorld {
  const world = new TakeoverWorld(options)
  world.run()
  const { client, causes, sockets, takeover } = world
  const isWhole = client.has === options.end && !client.isReset
  const isRight = client.wrong === 0 && isWhole && causes.length === 0
  const isLeft = takeover.state === 'over' && sockets.open === 1
  if (!isRight || !isLeft) {
    const { random: _, ...shown } = options
    const found = { has: client.has, wrong: client.wrong, causes, open: sockets.open }
    t.fail(what, { shown, found, state: takeover.state })
  }
  return world
}

t.test('every cut position goes on, byte for byte', async t => {
  const length = 60 * mss
  for (let at = 0; at <= length; at += 97) check(cut(0, at / length), `cut at ${at}`)
  t.pass('in the first bytes, in the last, and when all was there')
})

t.test('sequence numbers wrap at 2^32, and positions go far beyond', async t => {
  for (let round = 0; round < 300; round++) {
    const base = below(2 ** 40)
    // The wrap is somewhere within the response.
    const sendStart = (2 ** 32 - ((base + below(60 * mss)) % 2 ** 32)) % 2 ** 32
    check(cut(base, random(), { tcp: parameters({ sendStart }) }), `base ${base}`)
  }
  t.pass('none hung')
})

t.test('packets are lost, late and doubled', async t => {
  for (let round = 0; round < 300; round++) {
    const lossy = { loss: random() * 0.4, twice: random() * 0.4, address: random() * 150 }
    check(cut(below(2 ** 33), random(), lossy), `round ${round}`)
  }
  t.pass('none hung')
})

t.test('what the other host sent comes late, or is there beyond a gap', async t => {
  let healed = 0
  for (let round = 0; round < 300; round++) {
    const base = below(2 ** 33)
    const options = cut(base, random() * 0.7)
    const late = Array.from({ length: 1 + below(12) }, (_, index) => {
      const start = options.has + index * mss
      return { start, end: Math.min(start + mss, options.end) }
    }).filter(({ start, end }) => start < end && random() < 0.6)
    const { places } = check({ ...options, late }, `round ${round}`)
    if (places.length > 1) healed++
  }
  t.ok(healed > 0, `${healed} were healed`)
})

t.test('a client that does not read is not given up', async t => {
  for (let round = 0; round < 100; round++) {
    const options = cut(below(2 ** 33), random() * 0.9, { room: 0 })
    const world = new TakeoverWorld(options)
    setRoomLater(world)
    world.run()
    t.strictSame(world.causes, [])
    if (world.client.has !== options.end)
      t.fail(`round ${round}`, { has: world.client.has })
  }
})

t.test('a client behind a slow link is held until it answers', async t => {
  const world = check(cut(0, 0.5, { address: 0 }), 'the address is here first')
  t.ok(world.sockets.restored >= 2, 'a socket without a voice stood in between')
})

t.test('what is said again is heard', async t => {
  for (let round = 0; round < 50; round++) {
    // All of the response is there; of the next request nothing was acknowledged.
    const options = cut(below(2 ** 33), 1, { said: 900 })
    const { client, places } = check(options, `round ${round}`)
    t.equal(client.saidAcked, 900)
    t.match(places, [{ last: false, readPosition: 700 }])
  }
})

t.test('what died with the other host, of an idle client, is a reset', async t => {
  const idle = { owedUntil: undefined, said: 900, saidAcked: 900 }
  const world = new TakeoverWorld(cut(0, 1, idle))
  world.run()
  t.strictSame(world.causes, ['unheard'])
  t.ok(world.client.isReset)
})

t.test('what died with it, while a response is on its way, is the last', async t => {
  const world = check(cut(0, 0.5, { said: 900, saidAcked: 900 }), 'a request too early')
  t.match(world.places[0], { last: true, readPosition: 900 })
})

t.test('a client that is gone is given up, and nothing of it stays', async t => {
  const world = new TakeoverWorld(cut(0, 0.5, { loss: 1 }))
  world.client.isReset = true
  world.run()
  t.strictSame(world.causes, ['unanswered'])
  t.equal(world.sockets.open, 0)
})

t.test('a word that is not of this connection changes nothing', async t => {
  const options = cut(2 ** 33, 0.5)
  const { tcp, acked, readPosition } = options
  const source = { address: '10.0.0.7', port: 51_000 }
  const destination = { address: '10.0.0.100', port: 443 }
  const right = {
    source,
    destination,
    sequence: (tcp.receiveStart + readPosition) % 2 ** 32,
    acknowledgment: (tcp.sendStart + acked) % 2 ** 32,
    flags: 16,
    window: 500,
    timestamps: undefined,
    sack: [],
    length: 0,
  }
  const other = {
    'an acknowledgment from before': { acknowledgment: (right.acknowledgment - 1) >>> 0 },
    'a sequence number from before': { sequence: (right.sequence - 1) >>> 0 },
    'a sequence number beyond all windows': {
      sequence: (right.sequence + 2 ** 31) >>> 0,
    },
    'a SYN': { flags: 2 },
    'no acknowledgment': { flags: 0 },
    'a reset with a wrong number': { flags: 20, sequence: (right.sequence - 1) >>> 0 },
  }
  for (const [what, wrong] of Object.entries(other)) {
    const { takeover } = new TakeoverWorld(options)
    takeover.handle({ kind: 'begin' }, 0)
    const segment = { ...right, ...wrong }
    const event = { kind: 'segment', segment, sent: 0, received: 0 } as const
    t.strictSame(takeover.handle(event, 1), [], what)
    t.equal(takeover.state, 'probed')
  }
  const { takeover } = new TakeoverWorld(options)
  takeover.handle({ kind: 'begin' }, 0)
  const event = { kind: 'segment', segment: right, sent: 0, received: 0 } as const
  t.match(takeover.handle(event, 1), [{ kind: 'restore' }], 'the right one does')
})

/** It reads again when it is served. */
function setRoomLater(world: TakeoverWorld): void {
  const { takeover, client } = world
  const { handle } = takeover
  let isOpen = false
  takeover.handle = (event, now) => {
    if (!isOpen && takeover.state === 'watched') {
      isOpen = true
      client.room = 60_000
    }
    return handle.call(takeover, event, now)
  }
}
