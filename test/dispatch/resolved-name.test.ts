import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import t from 'tap'
import { Backends } from '../../lib/dispatch/backends.ts'
import {
  lookupWith,
  type Place,
  type Resolved,
  ResolvedName,
  systemResolver,
} from '../../lib/dispatch/resolved-name.ts'
import { dispatcherOptions } from '../fixtures/dispatch/options.ts'
import { MemoryLog, type Teardown } from '../fixtures/proxy/servers.ts'
import { until } from '../fixtures/until.ts'

/** A clock that a test moves by hand. */
class Clock {
  readonly waits: { ms: number; fn: () => void }[] = []
  now = () => 0
  monotonic = () => 0
  after(ms: number, fn: () => void) {
    const wait = { ms, fn }
    this.waits.push(wait)
    return { cancel: () => this.#take(wait) }
  }
  /** But for what is waited for before it is said that the resolver is well again. */
  get questions() {
    return this.waits.filter(({ ms }) => ms !== 5_000)
  }
  /** The next one, at once. */
  ask() {
    const [wait] = this.questions
    if (wait === undefined) return
    this.#take(wait)
    wait.fn()
    return wait.ms
  }
  #take(wait: { ms: number; fn: () => void }) {
    if (this.waits.includes(wait)) this.waits.splice(this.waits.indexOf(wait), 1)
  }
}

const place = (address: string): Place => ({ name: 'app', address, port: 80 })

t.test('addresses come and go; a resolver that fails changes nothing', async t => {
  const clock = new Clock()
  let ttl: number | undefined
  let answer: Place[] | Error = [place('10.0.0.2'), place('10.0.0.1'), place('10.0.0.1')]
  let changes = 0
  const name = new ResolvedName({
    hostname: 'app',
    port: 80,
    how: 'addresses',
    clock,
    log: new MemoryLog(),
    lookup: async () => {
      if (answer instanceof Error) throw answer
      return { places: answer, ttl }
    },
    onChange: () => {
      changes++
    },
  })
  const next = async () => {
    await until(() => clock.questions.length === 1, 'the next question')
    const ms = clock.ask()
    await until(() => clock.questions.length === 1, 'its answer')
    return ms
  }
  t.equal(name.places, undefined)
  await until(() => clock.waits.length === 1)
  const addresses = () => name.places?.map(({ address }) => address)
  t.strictSame(addresses(), ['10.0.0.1', '10.0.0.2'])
  answer = [place('10.0.0.1'), place('10.0.0.2')]
  t.equal(await next(), 10_000)
  t.equal(changes, 1, 'another order is no change')
  answer = [place('10.0.0.3')]
  await next()
  t.strictSame(addresses(), ['10.0.0.3'])
  answer = new Error('SERVFAIL')
  await next()
  answer = []
  t.equal(await next(), 20_000, 'and is asked less often')
  t.equal(await next(), 40_000)
  t.equal(await next(), 60_000)
  t.equal(await next(), 60_000)
  t.strictSame(addresses(), ['10.0.0.3'])
  t.equal(changes, 2)
  answer = [place('10.0.0.3')]
  // Seconds that it may be remembered, and milliseconds until it is asked for again.
  for (const [seconds, wait] of [
    [7, 7_000],
    [0, 1_000],
    [86_400, 60_000],
    [undefined, 10_000],
  ]) {
    ttl = seconds
    await next()
    t.equal(clock.questions[0]?.ms, wait, `a time to live of ${seconds}`)
  }
  t.equal(changes, 2)
  name.close()
  t.equal(clock.waits.length, 0)
})

t.test('a target of SRV records that has no address holds up no others', async t => {
  const target = (name: string, priority = 1) => ({ name, port: 80, priority, weight: 1 })
  const nobody = 'no..name'
  const resolver = {
    resolve4: async () => [],
    resolve6: async () => [],
    resolveSrv: async () => [target('127.0.0.1'), target(nobody), target('127.0.0.9', 2)],
  }
  const { places, unknown } = await lookupWith(resolver as never)('app', 80, 'srv')
  t.strictSame(
    places.map(({ address }) => address),
    ['127.0.0.1'],
  )
  t.match(unknown, [{ name: nobody, port: 80 }])
})

t.test('targets of SRV records have their parts of what comes', async t => {
  const partsOf = async (...weights: number[]) => {
    const resolver = {
      resolve4: async () => [],
      resolve6: async () => [],
      resolveSrv: async () =>
        weights.map((weight, i) => ({
          name: `10.0.0.${i}`,
          port: 80,
          priority: 1,
          weight,
        })),
    }
    const { places } = await lookupWith(resolver as never)('app', 80, 'srv')
    return places.map(({ weight }) => weight)
  }
  t.strictSame(await partsOf(60, 30, 0), [1, 0.5, 0.01])
  t.strictSame(await partsOf(0, 0), [1, 1])
  t.strictSame(await partsOf(65_535), [1])
})

t.test('targets that are one server have their parts there together', async t => {
  const clock = new Clock()
  const log = new MemoryLog()
  const both = { ...place('10.0.0.1'), weight: 0.4 }
  let answer: Resolved = { places: [both, { ...both, name: 'other' }, place('10.0.0.2')] }
  const name = new ResolvedName({
    ...{ hostname: 'app', port: 80, how: 'srv', clock, log, onChange() {} },
    lookup: async () => answer,
  })
  await until(() => clock.waits.length === 1, 'an answer')
  t.strictSame(
    name.places?.map(({ weight }) => weight),
    [0.8, undefined],
  )
  // One that has no address now has its part of now, at where it was.
  answer = {
    places: [place('10.0.0.2')],
    unknown: [{ name: 'other', port: 80, weight: 0.1 }],
  }
  clock.waits.shift()?.fn()
  await until(() => clock.waits.length === 1, 'the next one')
  t.strictSame(
    name.places?.map(({ weight }) => weight),
    [0.1, undefined],
  )
  name.close()
})

t.test('a weight that changes is heard of', async t => {
  const clock = new Clock()
  const log = new MemoryLog()
  let weight = 0.5
  const name = new ResolvedName({
    ...{ hostname: 'app', port: 80, how: 'srv', clock, log, onChange() {} },
    lookup: async () => ({
      places: [place('10.0.0.1'), { ...place('10.0.0.2'), weight }],
    }),
  })
  await until(() => clock.waits.length === 1, 'an answer')
  t.strictSame(
    name.places?.map(({ weight }) => weight),
    [undefined, 0.5],
  )
  weight = 0.25
  clock.waits.shift()?.fn()
  await until(() => clock.waits.length === 1, 'the next one')
  t.strictSame(
    name.places?.map(({ weight }) => weight),
    [undefined, 0.25],
  )
  name.close()
})

t.test('a target that has no address any more keeps those that it had', async t => {
  const clock = new Clock()
  const log = new MemoryLog()
  const [a, b, other] = [
    { ...place('10.0.0.1'), name: 'a' },
    { ...place('10.0.0.2'), name: 'b' },
    { ...place('10.0.0.3'), name: 'b', port: 81 },
  ]
  let answer: Resolved = { places: [a, b, other] }
  const name = new ResolvedName({
    ...{ hostname: 'app', port: 80, how: 'srv', clock, log, onChange() {} },
    lookup: async () => answer,
  })
  const next = async (then: Resolved) => {
    await until(() => clock.waits.length === 1, 'an answer')
    answer = then
    clock.waits.shift()?.fn()
    await until(() => clock.waits.length === 1, 'the next one')
    return name.places?.map(({ address }) => address)
  }
  const unknown = [{ name: 'b', port: 80 }]
  t.strictSame(await next({ places: [a], unknown }), ['10.0.0.1', '10.0.0.2'])
  t.strictSame(await next({ places: [], unknown }), ['10.0.0.2'], 'one that is left')
  t.equal(log.lines.filter(({ fields }) => fields['target'] === 'b').length, 1, 'once')
  t.strictSame(await next({ places: [a] }), ['10.0.0.1'], 'it is no target any more')
  name.close()
})

function backendsIn(t: Teardown): Backends {
  const backends = new Backends(new MemoryLog(), {} as never, {} as never)
  t.teardown(() => backends.destroy())
  return backends
}

t.test('each address is a backend', async t => {
  const backends = backendsIn(t)
  backends.rebuild(dispatcherTo =>
    dispatcherTo(
      dispatcherOptions([{ url: 'http://localhost:8080', resolve: 'addresses' }]),
    ),
  )
  const origins = () => [...backends.all()].map(({ origin }) => origin)
  t.strictSame(origins(), ['http://localhost:8080'], 'by name until it is known')
  await until(() => origins()[0] !== 'http://localhost:8080', 'an answer')
  for (const origin of origins()) {
    t.match(origin, /^http:\/\/(127\.0\.0\.1|\[::1\]):8080$/)
  }
})

t.test('a backend that a reload brings has come later than the others', async t => {
  const backends = backendsIn(t)
  const serve = (...urls: string[]) =>
    backends.rebuild(dispatcherTo =>
      dispatcherTo(dispatcherOptions(urls.map(url => ({ url })))),
    )
  const since = () => [...backends.all()].map(({ readySince }) => readySince)
  serve('http://10.0.0.1:80')
  t.strictSame(since(), [-Infinity])
  serve('http://10.0.0.1:80', 'http://10.0.0.2:80')
  const [first, second] = since()
  t.equal(first, -Infinity)
  t.ok(Number.isFinite(second))
})

t.test('how long an address holds is asked of DNS', async t => {
  const dns = await startDns(t, 7)
  const resolver = new Resolver({ timeout: 5_000 })
  resolver.setServers([`127.0.0.1:${dns}`])
  const { places, ttl } = await lookupWith(resolver)('localhost', 80, 'addresses')
  t.ok(places.some(({ address }) => address === '127.0.0.1'))
  // Where the system knows of more addresses than DNS does, nobody can say.
  t.equal(ttl, places.every(({ address }) => address === '127.0.0.1') ? 7 : undefined)
  const ip = await lookupWith(resolver)('10.0.0.1', 80, 'addresses')
  t.strictSame(ip, { places: [{ name: '10.0.0.1', address: '10.0.0.1', port: 80 }] })
})

t.test('a DNS that takes three seconds is waited for', async t => {
  const dns = await startDns(t, 7, 3_000)
  systemResolver.setServers([`127.0.0.1:${dns}`])
  t.strictSame(await systemResolver.resolve4('app.example'), ['127.0.0.1'])
})

t.test('a DNS that says nothing holds up no addresses', async t => {
  const silent = {
    resolve4: () => new Promise(() => {}),
    resolve6: () => new Promise(() => {}),
  }
  // Neither a question nor the wait for it keeps a process alive.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const { places, ttl } = await lookupWith(silent as never)('localhost', 80, 'addresses')
  t.ok(places.length > 0)
  t.equal(ttl, undefined)
})

/** Every A record is 127.0.0.1 for `ttl` seconds; of others there are none. Answers its port. */
async function startDns(t: Teardown, ttl: number, delay = 0): Promise<number> {
  const socket = createSocket('udp4')
  socket.on('message', (question, { port, address }) => {
    const isA = question.readUInt16BE(question.indexOf(0, 12) + 1) === 1
    const header = Buffer.from(question.subarray(0, 12))
    header.writeUInt16BE(0x8180, 2)
    header.writeUInt16BE(isA ? 1 : 0, 6)
    header.writeUInt16BE(0, 10)
    const name = question.subarray(12, question.indexOf(0, 12) + 5)
    const record = Buffer.from('c00c00010001000000000004' + '7f000001', 'hex')
    record.writeUInt32BE(ttl, 6)
    const answer = Buffer.concat([header, name, ...(isA ? [record] : [])])
    if (delay === 0) socket.send(answer, port, address)
    else setTimeout(() => socket.send(answer, port, address), delay)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  return socket.address().port
}
