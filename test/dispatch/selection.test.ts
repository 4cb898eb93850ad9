import t from 'tap'
import { Backend, type BackendState } from '../../lib/backend/backend.ts'
import type { DispatchRequest } from '../../lib/dispatch/dispatch.ts'
import {
  type Balance,
  createSelection,
  type SelectionOptions,
} from '../../lib/dispatch/selection/create-selection.ts'
import type { Tiers } from '../../lib/dispatch/selection/tiers.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'

interface Fake extends BackendState {
  readonly name: string
  ready: boolean
  unproven: boolean
  reachable: boolean
  readySince: number
  draining: boolean
  inFlight: number
  doubtful: boolean
  unchecked: boolean
}

function fake(name: string, more: Partial<Fake> = {}): Fake {
  return {
    name,
    ready: true,
    unproven: false,
    reachable: true,
    readySince: -Infinity,
    draining: false,
    inFlight: 0,
    doubtful: false,
    unchecked: false,
    weight() {
      return this.draining ? 0 : 1
    },
    ...more,
  }
}

let now = 0
const clock = { now: () => now, monotonic: () => now, after: () => ({ cancel() {} }) }
const request = {
  fields: [] as string[],
  network: '10.0.0.1',
} as unknown as DispatchRequest
const seed = testSeed()
t.comment(`SEED=${seed}`)
const random = seededRandom(seed)

function selection(
  backends: readonly Fake[],
  options: SelectionOptions = {},
  terms: Record<string, { weight?: number; priority?: number }> = {},
): Tiers<Fake> {
  const members = backends.map(backend => ({
    backend,
    origin: backend.name,
    weight: 1,
    priority: 0,
    ...terms[backend.name],
  }))
  return createSelection(members, options, { clock, random })
}

const firsts = (tiers: Tiers<Fake>, count: number, of = request) =>
  Array.from({ length: count }, () => tiers.candidates(of).next()?.name ?? '-').join('')

function all(tiers: Tiers<Fake>): string {
  const choice = tiers.candidates(request)
  let names = ''
  for (let next = choice.next(); next; next = choice.next()) names += next.name
  return names
}

t.test('each in turn', t => {
  const [a, b, c] = [fake('a'), fake('b'), fake('c')]
  t.equal(firsts(selection([a, b, c]), 6), 'abcabc')
  t.equal(firsts(selection([a]), 2), 'aa')
  t.equal(firsts(selection([]), 1), '-')
  t.end()
})

t.test('by weight, spread out', t => {
  const backends = [fake('a'), fake('b'), fake('c')]
  t.equal(firsts(selection(backends, {}, { a: { weight: 5 } }), 7), 'aabacaa')
  const none = selection(backends, {}, { a: { weight: 0 } })
  t.notMatch(firsts(none, 20), /a/, 'a weight of 0 gets nothing')
  t.notMatch(all(none), /a/)
  t.end()
})

t.test('one that is not ready is passed over, its part goes to all others alike', t => {
  const [a, b, c] = [fake('a', { ready: false }), fake('b'), fake('c')]
  const tiers = selection([a, b, c])
  t.equal(firsts(tiers, 4).replace(/bc|cb/g, '.'), '..')
  t.match(all(tiers), /^(bc|cb)a$/, 'and is the last resort')
  b.ready = false
  c.ready = false
  t.equal([...all(tiers)].sort().join(''), 'abc')
  t.end()
})

t.test('one that is drained gets nobody new, not even when all others are down', t => {
  const [a, b] = [fake('a', { draining: true }), fake('b')]
  const tiers = selection([a, b])
  t.equal(all(tiers), 'b')
  b.ready = false
  t.equal(all(tiers), 'b')
  b.draining = true
  t.equal(all(tiers), '')
  t.end()
})

t.test('the next priority only when the one before has none that is ready', t => {
  const [a, b, c, d] = [fake('a'), fake('b'), fake('c'), fake('d')]
  const tiers = selection(
    [d, c, b, a],
    {},
    {
      c: { priority: 1 },
      d: { priority: Number.POSITIVE_INFINITY },
    },
  )
  t.match(all(tiers), /^(ab|ba)cd$/)
  t.notMatch(firsts(tiers, 10), /[cd]/)
  a.ready = false
  t.equal(firsts(tiers, 3), 'bbb')
  b.ready = false
  t.equal(firsts(tiers, 3), 'ccc')
  c.ready = false
  t.equal(firsts(tiers, 3), 'ddd')
  a.ready = true
  t.equal(firsts(tiers, 3), 'aaa')
  t.end()
})

t.test('what can not be sent again does not find out whether one is well again', t => {
  const [a, b] = [fake('a', { unproven: true }), fake('b')]
  const post = { ...request, method: 'POST' } as DispatchRequest
  const get = { ...request, method: 'GET' } as DispatchRequest
  const tiers = selection([a, b])
  t.equal(firsts(tiers, 4, post), 'bbbb')
  t.match(firsts(tiers, 4, get), /a/)
  const held = { ...post, preference: { first: a, policy: undefined } }
  t.equal(firsts(tiers, 1, held), 'b', 'not even that of a client that was there before')
  b.ready = false
  t.equal(firsts(tiers, 1, post), 'a', 'unless there is no other')
  t.end()
})

t.test('each backend is given once, whatever chooses', t => {
  const backends = ['a', 'b', 'c', 'd', 'e'].map(name => fake(name))
  const balances: Balance[] = ['round-robin', 'least-requests', 'peak-ewma', 'hash']
  for (const balance of balances) {
    for (let i = 0; i < 20; i++) {
      for (const backend of backends) {
        backend.ready = random() < 0.7
        backend.inFlight = Math.floor(random() * 5)
      }
      t.equal([...all(selection(backends, { balance }))].sort().join(''), 'abcde')
    }
  }
  t.throws(
    () => selection(backends, { balance: 'x' as Balance }),
    /balance must be one of/,
  )
  t.throws(() => selection(backends, { hashBy: 'path' }), /hashBy must be address/)
  t.end()
})

t.test('fewest open requests, by weight', t => {
  const [a, b, c] = [fake('a'), fake('b'), fake('c')]
  const tiers = selection([a, b, c], { balance: 'least-requests' }, { c: { weight: 4 } })
  for (let i = 0; i < 600; i++) {
    const chosen = tiers.candidates(request).next() as Fake
    chosen.inFlight++
  }
  t.equal(a.inFlight + b.inFlight + c.inFlight, 600)
  t.ok(Math.abs(a.inFlight - b.inFlight) < 30, `${a.inFlight} and ${b.inFlight}`)
  t.ok(c.inFlight > 300, `${c.inFlight} of 600 for a weight of 4 of 6`)
  t.end()
})

t.test('a backend that is slow gets less, and is tried again', t => {
  const [fast, slow] = [fake('f'), fake('s')]
  const tiers = selection([fast, slow], { balance: 'peak-ewma' })
  const latency = (name: string) => tiers.members.find(m => m.origin === name)?.latency
  latency('f')?.observe(10)
  latency('s')?.observe(500)
  t.notMatch(firsts(tiers, 50), /s/)
  fast.inFlight = 60
  t.match(firsts(tiers, 1), /s/, 'as long as the fast one is not slower by its queue')
  fast.inFlight = 0
  now += 200_000
  latency('f')?.observe(10)
  t.match(firsts(tiers, 1), /s/, 'what was long ago is forgotten')
  now = 0
  t.end()
})

t.test('the same key, the same backend, on every proxy', t => {
  const names = ['a', 'b', 'c', 'd']
  const hash = { balance: 'hash', hashBy: 'header X-Tenant' } as const
  const one = selection(
    names.map(name => fake(name)),
    hash,
  )
  const other = selection(
    names.reverse().map(name => fake(name)),
    hash,
  )
  const of = (tenant: string) =>
    ({ ...request, fields: ['Host', 'x', 'x-tenant', tenant] }) as DispatchRequest
  const counts: Record<string, number> = {}
  for (let i = 0; i < 400; i++) {
    const chosen = firsts(one, 1, of(`t${i}`))
    t.equal(firsts(other, 1, of(`t${i}`)), chosen)
    counts[chosen] = (counts[chosen] ?? 0) + 1
  }
  for (const count of Object.values(counts))
    t.ok(count > 60 && count < 140, String(count))
  t.equal([...new Set(firsts(one, 8))].length, 4, 'without the field: in turn')
  t.end()
})

t.test('only the keys of a backend that goes move, and to all others', t => {
  const backends = ['a', 'b', 'c', 'd'].map(name => fake(name))
  const tiers = selection(backends, { balance: 'hash', hashBy: 'cookie id' })
  const of = (id: number) =>
    ({ ...request, fields: ['Cookie', `x=1; id=${id}; y=2`] }) as DispatchRequest
  const before = Array.from({ length: 400 }, (_, id) => firsts(tiers, 1, of(id)))
  ;(backends[1] as Fake).ready = false
  const moved = new Set<string>()
  before.forEach((name, id) => {
    const after = firsts(tiers, 1, of(id))
    if (name === 'b') moved.add(after)
    else t.equal(after, name)
  })
  t.strictSame([...moved].sort(), ['a', 'c', 'd'])
  t.end()
})

t.test('a backend that has just come back starts slowly', t => {
  const [a, b] = [fake('a'), fake('b', { readySince: 0 })]
  const tiers = selection([a, b], { slowStart: 10_000 })
  const part = () => firsts(tiers, 220).replaceAll('a', '').length
  now = 1
  t.equal(part(), 20, 'a tenth of one')
  now = 5_000
  t.ok(Math.abs(part() - 73) < 4, 'a half of one')
  now = 10_000
  t.ok(Math.abs(part() - 110) < 2)
  now = 0
  t.end()
})

t.test('one that comes beside others, or gets clients again, starts slowly', async t => {
  let ms = 0
  const time = { now: () => ms, monotonic: () => ms, after: () => ({ cancel() {} }) }
  const options = {
    connectTimeout: 1,
    headersTimeout: 1,
    bodyTimeout: 1,
    maxHeaderBytes: 1,
    maxRequests: 1,
    clock: time,
  }
  const backend = new Backend('http://127.0.0.1:1', options)
  t.teardown(() => backend.destroy())
  t.equal(backend.readySince, -Infinity)
  ms = 5
  backend.draining = true
  t.equal(backend.readySince, -Infinity)
  ms = 7
  backend.draining = false
  t.equal(backend.readySince, 7)
  backend.draining = false
  ms = 9
  backend.join()
  t.equal(backend.readySince, 9)
})

t.test('backends come and go, and those that stay keep what was learnt', t => {
  const [a, b] = [fake('a'), fake('b')]
  const tiers = selection([a, b], { balance: 'peak-ewma' })
  tiers.members[0]?.latency.observe(100)
  const member = (backend: Fake) => ({
    backend,
    origin: backend.name,
    weight: 1,
    priority: 0,
  })
  tiers.setBackends([member(a), member(fake('c'))])
  t.equal(tiers.members[0]?.latency.measured, true)
  t.strictSame(
    tiers.backends.map(({ name }) => name),
    ['a', 'c'],
  )
  t.end()
})

t.test('when too few are well those that can be reached are used as well', t => {
  const backends = ['a', 'b', 'c', 'd'].map(name => fake(name))
  const [a, b, c, d] = backends as [Fake, Fake, Fake, Fake]
  const tiers = selection(backends)
  a.ready = false
  b.ready = false
  t.notMatch(firsts(tiers, 20), /[ab]/, 'half of them are enough')
  c.ready = false
  c.reachable = false
  t.equal([...new Set(firsts(tiers, 20))].sort().join(''), 'abd')
  d.ready = false
  t.equal([...new Set(firsts(tiers, 20))].sort().join(''), 'abd', 'none is well')
  t.equal(all(tiers).at(-1), 'c', 'and the last resort is the last')
  const backup = fake('e')
  const two = selection([...backends, backup], {}, { e: { priority: 1 } })
  t.equal(firsts(two, 3), 'eee', 'others before those that are not well')
  t.end()
})

t.test('what waits for its first check is no reason to use it before', t => {
  const backends = ['a', 'b', 'c', 'd'].map(name => fake(name))
  const [a, ...news] = backends as [Fake, ...Fake[]]
  for (const one of news) Object.assign(one, { ready: false, unchecked: true })
  t.equal(firsts(selection(backends), 4), 'aaaa', 'one is well of one that was checked')
  a.ready = false
  t.equal(firsts(selection(backends), 4), 'aaaa', 'and is used when it is not')
  a.unchecked = true
  t.equal([...new Set(firsts(selection(backends), 20))].length, 4, 'all have just come')
  t.end()
})

t.test('one that is well and full is waited for', t => {
  const [a, b, c, d] = [fake('a'), fake('b'), fake('c', { ready: false }), fake('d')]
  const tiers = selection([a, b, c, d], {}, { d: { priority: 1 } })
  const order = (...full: Fake[]) => {
    const choice = tiers.candidates(request)
    const names: string[] = []
    for (let next = choice.next(); next; next = choice.next()) {
      names.push(next.name)
      if (full.includes(next)) choice.full(next)
    }
    return names.sort().join('')
  }
  t.equal(order(), 'abcd')
  t.equal(order(a, b), 'ab', 'what is down or a backup does not take its place')
  t.equal(order(a), 'ab', 'nor where another one has failed')
  b.ready = false
  a.ready = false
  t.equal(order(a, b), 'abcd', 'one that is not well has room for nobody')
  t.end()
})

t.test('one that is drained is no sign that too few are well', t => {
  const backends = ['a', 'b', 'c', 'd'].map(name => fake(name))
  const [a, b, c] = backends as [Fake, Fake, Fake]
  const tiers = selection(backends, {}, { b: { weight: 0 } })
  a.draining = true
  c.ready = false
  t.equal(firsts(tiers, 4), 'dddd', 'of two that are for clients one is well')
  b.draining = true
  t.equal(firsts(tiers, 4), 'dddd')
  t.end()
})

t.test('a tier that is not for new clients is no other tier', t => {
  const [a, b, c, d] = [fake('a'), fake('b'), fake('c'), fake('d')]
  a.ready = false
  b.ready = false
  const tiers = selection([a, b, c, d], {}, { d: { priority: 1, weight: 0 } })
  t.equal([...new Set(firsts(tiers, 20))].sort().join(''), 'abc')
  t.end()
})

t.test("a second try goes to another backend, and is nobody's turn", t => {
  const [a, b, c] = [fake('a'), fake('b'), fake('c')]
  const tiers = selection([a, b])
  let order = ''
  for (let i = 0; i < 4; i++) {
    const first = tiers.candidates(request).next() as Fake
    const second = tiers.candidates({ ...request, beside: first }).next() as Fake
    order += first.name + second.name
  }
  t.equal(order, 'abbaabba', 'first tries take turns whatever second ones do')

  const weighted = selection([a, b, c], {}, { a: { weight: 2 } })
  const usual = firsts(selection([a, b, c], {}, { a: { weight: 2 } }), 8)
  let beside = ''
  for (let i = 0; i < 8; i++) {
    const first = weighted.candidates(request).next() as Fake
    beside += first.name
    t.not(weighted.candidates({ ...request, beside: first }).next(), first)
  }
  t.equal(beside, usual)
  t.end()
})

t.test('forbidden: a second try at a backend that is not well, or preferred', t => {
  const [a, b] = [fake('a'), fake('b', { ready: false })]
  const tiers = selection([a, b])
  t.equal(tiers.candidates({ ...request, beside: a }).next(), undefined)
  b.ready = true
  const preference = { first: a, policy: undefined }
  t.equal(tiers.candidates({ ...request, beside: a, preference }).next(), b)
  t.end()
})

t.test('what can not be sent again goes to no backend that is doubtful', t => {
  const [a, b, c] = [
    fake('a', { doubtful: true }),
    fake('b'),
    fake('c', { ready: false }),
  ]
  const tiers = selection([a, b, c])
  const post = { ...request, method: 'POST' }
  t.equal(firsts(tiers, 4, post), 'bbbb')
  const get = { ...request, method: 'GET' }
  t.match(firsts(tiers, 4, get), /^(?:abab|baba)$/, 'others find out what is wrong')
  b.doubtful = true
  t.match(firsts(tiers, 4, post), /^(?:abab|baba)$/, 'when all are, it is no reason')
  const backup = selection([a, fake('x')], {}, { x: { priority: 1 } })
  t.equal(firsts(backup, 2, post), 'aa', 'nor one to ask a backup')
  const preference = { first: a, policy: undefined }
  t.equal(firsts(tiers, 1, { ...post, preference }), 'a', 'nor to leave a client')
  t.end()
})

t.test('a client stays where it is while others are no better', t => {
  const [a, b, c] = [fake('a'), fake('b', { ready: false }), fake('c', { ready: false })]
  const tiers = selection([a, b, c])
  const policy = { pick: <M>(members: readonly M[]): M => members[0] as M }
  const of = { ...request, method: 'GET', preference: { first: b, policy } }
  t.equal(firsts(tiers, 2, of), 'bb', 'few are well, and all are used')
  c.ready = true
  t.equal(firsts(tiers, 2, of), 'aa', 'it is the only one that is not')
  for (const one of [a, b, c]) {
    one.ready = false
    one.reachable = false
  }
  t.equal(firsts(tiers, 2, of), 'bb', 'when none is there it is tried first')
  t.equal(firsts(tiers, 2), 'aa')
  b.draining = true
  t.equal(firsts(tiers, 2, of), 'aa', 'but for one that is drained')
  t.end()
})
