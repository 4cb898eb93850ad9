import t from 'tap'
import { Backends } from '../../lib/dispatch/backends.ts'
import { type Place, ResolvedName } from '../../lib/dispatch/resolved-name.ts'
import { MemoryLog, until } from '../fixtures/proxy-servers.ts'

/** A clock that a test moves by hand. */
class Clock {
  readonly waits: { ms: number; fn: () => void }[] = []
  now = () => 0
  monotonic = () => 0
  after(ms: number, fn: () => void) {
    const wait = { ms, fn }
    this.waits.push(wait)
    return { cancel: () => this.waits.splice(this.waits.indexOf(wait), 1) }
  }
}

const place = (address: string): Place => ({ name: 'app', address, port: 80 })

t.test('addresses come and go; a resolver that fails changes nothing', async t => {
  const clock = new Clock()
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
      return answer
    },
    onChange: () => {
      changes++
    },
  })
  const next = async () => {
    await until(() => clock.waits.length === 1, 'the next question')
    const [wait] = clock.waits.splice(0)
    wait?.fn()
    await until(() => clock.waits.length === 1, 'its answer')
    return wait?.ms
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
  name.close()
  t.equal(clock.waits.length, 0)
})

t.test('each address is a backend', async t => {
  const backends = new Backends(new MemoryLog(), {} as never, {} as never)
  t.teardown(() => backends.destroy())
  backends.rebuild(dispatcherTo =>
    dispatcherTo({
      targets: [{ url: 'http://localhost:8080', resolve: 'addresses' }],
      backend: {
        connectTimeout: 1_000,
        headersTimeout: 1_000,
        bodyTimeout: 1_000,
        maxHeaderBytes: 16_384,
        maxRequests: 10,
      },
      selection: {},
      affinity: undefined,
      scope: '',
      resume: { most: 0, timeout: 1 },
      queueTimeout: 0,
    } as never),
  )
  const origins = () => [...backends.all()].map(({ origin }) => origin)
  t.strictSame(origins(), ['http://localhost:8080'], 'by name until it is known')
  await until(() => origins()[0] !== 'http://localhost:8080', 'an answer')
  for (const origin of origins()) {
    t.match(origin, /^http:\/\/(127\.0\.0\.1|\[::1\]):8080$/)
  }
})
