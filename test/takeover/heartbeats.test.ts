import t from 'tap'
import { type Beat, Heartbeats } from '../../lib/takeover/host/election/heartbeats.ts'
import { lineOf, successions, turn } from '../../lib/takeover/host/election/succession.ts'

const times = { interval: 100, timeout: 300 }

function beat(member: string, more: Partial<Beat> = {}): Beat {
  return {
    member,
    holds: [{ address: `ip of ${member}`, epoch: 1 }],
    takes: [],
    votes: [],
    ...more,
  }
}

/** What `self` sees of members that beat until they are silent, from 0 to `end`. */
function seen(self: string, silentAt: Readonly<Record<string, number>>, end: number) {
  const heartbeats = new Heartbeats(self, times, 0)
  for (let now = 0; now < end; now += 100) {
    for (const [member, silent] of Object.entries(silentAt)) {
      if (now < silent) heartbeats.heard(beat(member), now)
    }
    if (now > 0) heartbeats.judge(now)
  }
  return { heartbeats, failures: heartbeats.judge(end) }
}

t.test(
  'the own address of a member is known when all else of it is forgotten',
  async t => {
    const heartbeats = new Heartbeats('a', times, 0)
    heartbeats.heard(beat('b', { home: '10.0.0.1' }), 0)
    heartbeats.heard(beat('b', { home: '10.0.0.2' }), 100)
    heartbeats.heard(beat('c'), 100)
    heartbeats.forget('b')
    t.equal(heartbeats.addressOf('b'), '10.0.0.2')
    t.equal(heartbeats.addressOf('c'), undefined)
    // Each has another name when it starts again.
    for (let life = 0; life < 1_000; life++) {
      heartbeats.heard(beat(`c${life}`, { home: '10.0.0.3' }), 200)
    }
    t.equal(heartbeats.addressOf('b'), undefined)
    t.equal(heartbeats.addressOf('c0'), '10.0.0.3')
  },
)

t.test('whoever is silent for the time-out has failed, and nobody earlier', async t => {
  const silence = { b: Infinity, c: 1_000 }
  t.strictSame(seen('a', silence, 1_100).failures, [])
  t.match(seen('a', silence, 1_200).failures, [
    { member: 'c', since: 900, holds: [{ address: 'ip of c', epoch: 1 }] },
  ])
})

t.test('who stood still itself judges nobody for what it did not hear', async t => {
  const heartbeats = new Heartbeats('a', times, 0)
  heartbeats.heard(beat('b'), 0)
  heartbeats.judge(100)
  t.strictSame(heartbeats.judge(5_000), [], 'a stall of our own')
  heartbeats.judge(5_100)
  heartbeats.judge(5_200)
  t.match(heartbeats.judge(5_300), [{ member: 'b' }], 'then the time runs')
})

t.test('who misses most at once is cut off itself', async t => {
  const { failures } = seen('a', { b: 1_000, c: 1_000, d: 1_000 }, 2_000)
  t.equal(failures.length, 3)
  for (const { hasQuorum } of failures) t.equal(hasQuorum, false)
  const one = seen('a', { b: 1_000, c: Infinity, d: Infinity }, 2_000).failures
  t.match(one, [{ member: 'b', hasQuorum: true }])
  const last = seen('a', { b: 1_000 }, 2_000).failures
  t.match(last, [{ member: 'b', hasQuorum: true }], 'of two, the other one')
  const long = seen('a', { b: 1_000, c: 100 }, 2_000).failures
  t.match(
    long.find(({ member }) => member === 'b'),
    { hasQuorum: false },
    'one that was gone before, and was not fenced, may live elsewhere',
  )
  const after = (words: readonly Beat[]) => {
    const heartbeats = new Heartbeats('a', times, 0)
    for (const word of words) heartbeats.heard(word, 0)
    for (let now = 0; now <= 2_000; now += 100) {
      if (now < 1_000) heartbeats.heard(beat('b', inherits), now)
      heartbeats.judge(now)
    }
    return heartbeats.judge(2_100).find(({ member }) => member === 'b')
  }
  const inherits = { holds: [{ address: 'ip of c', epoch: 2 }] }
  const taken = after([beat('c')])
  t.match(taken, { hasQuorum: true }, 'one whose addresses were taken over was fenced')
  const gone = after([beat('c', { holds: [], isLeaving: true })])
  t.match(gone, { hasQuorum: true }, 'one that took its leave takes nothing over')
  const bare = after([beat('c', { holds: [] })])
  t.match(bare, { hasQuorum: false }, 'one that has no address may live elsewhere, too')
})

t.test(
  'exactly one of all members takes over at once, the next a turn later',
  async t => {
    const members = ['a', 'b', 'c', 'd', 'e']
    const line = lineOf('ip of a', ['b', 'c', 'd', 'e'])
    t.strictSame([...line].sort(), ['b', 'c', 'd', 'e'])
    const taking = (now: number) =>
      line.filter(self => {
        const others = members.filter(member => member !== self)
        const silentAt = Object.fromEntries(
          others.map(member => [member, member === 'a' ? 1_000 : Infinity]),
        )
        const { heartbeats, failures } = seen(self, silentAt, now)
        return successions(self, failures, heartbeats, now).length > 0
      })
    t.strictSame(taking(1_200), line.slice(0, 1))
    t.strictSame(taking(900 + turn), line.slice(0, 2), 'the first one did nothing')
  },
)

t.test('the order is another for each address', async t => {
  const firsts = Array.from(
    { length: 50 },
    (_, index) => lineOf(`10.0.0.${index}`, ['a', 'b', 'c'])[0],
  )
  t.equal(new Set(firsts).size, 3)
})

t.test('what a live member has claimed is left to it', async t => {
  const { heartbeats, failures } = seen('b', { a: 1_000, c: Infinity }, 5_000)
  t.equal(successions('b', failures, heartbeats, 5_000).length, 1)
  const takes = [{ address: 'ip of a', epoch: 2 }]
  heartbeats.heard(beat('c', { takes }), 5_000)
  t.strictSame(successions('b', heartbeats.judge(5_000), heartbeats, 5_000), [])
})

t.test(
  'what was taken over is not owed by the one before, but by the one after',
  async t => {
    const { heartbeats } = seen('b', { a: 1_000, c: Infinity }, 2_000)
    const holds = [
      { address: 'ip of c', epoch: 1 },
      { address: 'ip of a', epoch: 2 },
    ]
    heartbeats.heard(beat('c', { holds }), 2_000)
    for (let now = 2_100; now < 3_000; now += 100) heartbeats.judge(now)
    const left = successions('b', heartbeats.judge(3_000), heartbeats, 3_000)
    t.strictSame(
      left.map(({ failed, claim }) => `${failed}: ${claim.address} ${claim.epoch}`),
      ['c: ip of c 1', 'c: ip of a 2'],
    )
  },
)
