import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:http2'
import { connect as netConnect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as tlsConnect } from 'node:tls'
import { hashSync } from 'bcryptjs'
import t, { type Test } from 'tap'
import { Bcrypt } from '../../lib/auth/method/bcrypt.ts'
import type { Asker } from '../../lib/auth/request/asker.ts'
import { systemClock } from '../../lib/clock.ts'
import { AuthAuthorizer } from '../../lib/proxy/request/auth-authorizer.ts'
import {
  basic,
  connection,
  HandClock,
  request,
  shortly,
  World,
} from '../fixtures/auth/world.ts'
import { type FarmProxy, farmProxies } from '../fixtures/proxy/farm.ts'
import { startBackend } from '../fixtures/proxy/servers.ts'
import { p256 } from '../fixtures/tls/certificates.ts'
import { until } from '../fixtures/until.ts'

const minute = 60_000
const hash = hashSync('right', 4)

/** Somebody who asks, and can leave. */
function asker(network: string, connection: object = {}): Asker & { leave(): void } {
  const listeners = new Set<() => void>()
  let gone = false
  return {
    network,
    connection,
    get gone() {
      return gone
    },
    onGone(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    leave() {
      gone = true
      for (const listener of listeners) listener()
    },
  }
}

t.test('passwords are compared in turn, by network and by connection', async t => {
  const bcrypt = new Bcrypt(systemClock)
  t.teardown(() => bcrypt.close())
  const order: string[] = []
  const [flood, calm] = [{}, {}]
  const compare = async (name: string, from: Asker) => {
    await bcrypt.compare('x', hash, from)
    order.push(name)
  }
  const all = Array.from({ length: 60 }, () =>
    compare('flood', asker('192.0.2.1', flood)),
  )
  all.push(compare('neighbour', asker('192.0.2.1', calm)))
  all.push(compare('other', asker('192.0.2.2')))
  await Promise.all(all)
  t.ok(order.indexOf('other') <= 2, `other: ${order.indexOf('other')}`)
  t.ok(order.indexOf('neighbour') <= 4, `neighbour: ${order.indexOf('neighbour')}`)
  t.equal(bcrypt.open, 0)
})

t.test('what nobody waits for any more is not compared', async t => {
  const clock = new HandClock()
  const bcrypt = new Bcrypt(clock)
  t.teardown(() => bcrypt.close())
  const slow = hashSync('right', 10)
  const [first, second, third] = [asker('a'), asker('b'), asker('c')]
  const running = bcrypt.compare('right', slow, first)
  const waiting = bcrypt.compare('right', slow, second)
  const late = bcrypt.compare('right', slow, third)
  second.leave()
  t.equal(await waiting, undefined, 'left before it was its turn')
  first.leave()
  t.equal(bcrypt.open, 2, 'what is under way is brought to its end')
  clock.advance(10_000)
  t.equal(await late, undefined)
  t.equal(await running, undefined)
  t.equal(bcrypt.open, 0)
  const before = performance.now()
  t.equal(await bcrypt.compare('right', hash, asker('d')), true)
  // The one that was under way, and not the two that were given up.
  t.ok(performance.now() - before < 10_000)
})

t.test('who leaves while it is compared has guessed all the same', async t => {
  const bcrypt = new Bcrypt(systemClock)
  t.teardown(() => bcrypt.close())
  const leaving = asker('a')
  const told = bcrypt.compare('wrong', hashSync('right', 8), leaving)
  leaving.leave()
  t.equal(await told, false)
})

t.test('a password that can not be told in time counts as a failed log-in', async t => {
  const world = new World()
  let asked = 0
  const never = () => {
    asked += 1
    return new Promise<boolean>(() => {})
  }
  const member = world.member({ basic: never })
  const from = (user: string) =>
    member.authenticate(request(connection(world.clock), basic(user, 'guess')))
  const tries = Array.from({ length: 10 }, () => from('ann'))
  while (asked < 10) await new Promise(setImmediate)
  world.clock.advance(10_000)
  t.strictSame(new Set((await Promise.all(tries)).map(shortly)), new Set([503]))
  t.equal(shortly(await from('ann')), 429, 'the eleventh is not tried')
  world.clock.advance(10 * minute)
  const again = from('ann')
  while (asked < 11) await new Promise(setImmediate)
  t.equal(asked, 11)
  world.clock.advance(10_000)
  await again
})

t.test('who leaves before an answer was looked for has not guessed', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'handfast-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'users')
  writeFileSync(path, `ann:${hashSync('right', 10)}\n`)
  const world = new World()
  const member = world.member({ basic: { htpasswd: path }, attempts: { perUser: 2 } })
  t.teardown(() => member.close())
  const ask = (socket: object, user: string) =>
    member.authenticate(request(socket, basic(user, 'guess')))
  for (let i = 0; i < 5; i++) {
    const busy = ask(connection(world.clock, { address: `192.0.2.${i + 10}` }), 'bob')
    await new Promise(setImmediate)
    const socket = Object.assign(new EventEmitter(), connection(world.clock))
    const decision = ask(socket, 'ann')
    await new Promise(setImmediate)
    socket.emit('close')
    t.equal(shortly(await decision), 503)
    await busy
  }
  const own = request(connection(world.clock), basic('ann', 'right'))
  t.equal(shortly(await member.authenticate(own)), 'ann')
})

t.test('one network does not get all checks there are', async t => {
  const world = new World()
  let asked = 0
  const never = (user: string) => {
    asked += 1
    return user === 'ann' ? true : new Promise<boolean>(() => {})
  }
  const member = world.member({
    basic: never,
    maxChecks: 20,
    attempts: { perAddress: 999 },
  })
  const from = (address: string, user: string) =>
    member.authenticate(
      request(connection(world.clock, { address }), basic(user, 'guess')),
    )
  const flood = Array.from({ length: 50 }, (_, i) => from('2001:db8::1', `user${i}`))
  while (asked < 16) await new Promise(setImmediate)
  const refused = await Promise.all(flood.slice(16))
  t.strictSame(new Set(refused.map(shortly)), new Set([503]), 'at once')
  t.equal(asked, 16)
  t.equal(shortly(await from('2001:db8::2', 'ann')), 503, 'a /64 is one of them')
  t.equal(shortly(await from('2001:db8:0:1::1', 'ann')), 'ann')
  t.equal(shortly(await from('192.0.2.1', 'ann')), 'ann')
  t.match(
    world.log.lines.join(),
    /"limit":"auth.maxChecks","client":"2001:db8:0:0::\/64"/,
  )
  world.clock.advance(10_000)
  await Promise.all(flood)
  t.equal(shortly(await from('2001:db8::1', 'ann')), 'ann', 'and free again')
})

/** A proxy with an htpasswd file: `ann` with cost 4, and hashes that take long. */
async function guarded(t: Test): Promise<FarmProxy> {
  const folder = mkdtempSync(join(tmpdir(), 'handfast-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'users')
  const slow = hashSync('right', 10)
  const users = Array.from({ length: 100 }, (_, i) => `user${i}:${slow}`)
  writeFileSync(path, `ann:${slow}\n${users.join('\n')}\n`)
  const backend = await startBackend(t, (_request, response) => response.end('in'))
  const pair = await p256('localhost')
  const [proxy] = await farmProxies(t, {
    count: 1,
    sites: farm => [
      {
        names: [],
        backends: [backend.url],
        ...pair,
        authorizer: new AuthAuthorizer(
          farm.auth({ basic: { htpasswd: path }, form: { htpasswd: path } }).auth,
        ),
      },
    ],
  })
  return proxy as FarmProxy
}

/** Log-ins on a session from an address of this machine. */
async function sessionFrom(t: Test, port: number, localAddress: string) {
  const raw = netConnect({ host: '127.0.0.1', port, localAddress })
  const socket = tlsConnect({
    socket: raw,
    servername: 'localhost',
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
  })
  await once(socket, 'secureConnect')
  const session = connect('https://localhost', { createConnection: () => socket })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  const login = (user: string, password: string): Promise<number> =>
    new Promise(resolve => {
      const stream = session.request({ ':path': '/', ...basic(user, password) })
      stream.on('error', () => resolve(0))
      stream.on('response', fields => resolve(Number(fields[':status'])))
      stream.on('close', () => resolve(0))
      stream.resume().end()
    })
  return { login, session }
}

t.test('a hundred guesses on one connection hold nobody else up', async t => {
  const { port, farm } = await guarded(t)
  const hostile = await sessionFrom(t, port, '127.0.0.2')
  const guesses = Array.from({ length: 100 }, (_, i) =>
    hostile.login(`user${i}`, 'guess'),
  )
  const checked = () =>
    farm.stats().auth.logins.reduce((sum, { count }) => sum + count, 0)
  await until(() => checked() > 0)
  const honest = await sessionFrom(t, port, '127.0.0.3')
  const neighbour = await sessionFrom(t, port, '127.0.0.2')
  t.equal(await honest.login('ann', 'right'), 200)
  // When the window of the count ends meanwhile there may be room for one more.
  const [, second] = await Promise.all([
    neighbour.login('bob', 'guess'),
    neighbour.login('eve', 'guess'),
  ])
  t.equal(second, 429, 'so many at once from an address')
  t.ok(checked() < 20, `${checked()} were checked meanwhile`)
  hostile.session.destroy()
  await Promise.all(guesses)
  await until(() => checked() >= 100)
  t.equal(await neighbour.login('ann', 'right'), 200, 'who has left stands in no line')
})

t.test(
  'a guess whose request is given up is dropped, unless another waits for it',
  async t => {
    const { port, farm } = await guarded(t)
    const { session } = await sessionFrom(t, port, '127.0.0.2')
    const ask = (user: string, password: string) => {
      const stream = session.request({ ':path': '/', ...basic(user, password) })
      stream.on('error', () => {})
      stream.resume()
      const status = once(stream, 'response').then(([fields]) =>
        Number(fields[':status']),
      )
      return { stream, status }
    }
    const count = (wanted: string) =>
      farm
        .stats()
        .auth.logins.filter(({ outcome }) => outcome === wanted)
        .reduce((sum, { count }) => sum + count, 0)
    // The first keeps the thread busy until all have come.
    const first = ask('user0', 'guess')
    const dropped = Array.from({ length: 40 }, (_, i) => ask(`user${i + 1}`, 'guess'))
    const leaving = ask('ann', 'right')
    const staying = ask('ann', 'right')
    await until(() => count('refused') > 0)
    for (const { stream, status } of [...dropped, leaving]) {
      status.catch(() => {})
      stream.close(8)
    }
    t.equal(await staying.status, 200)
    t.equal(await first.status, 401)
    t.ok(count('refused') < 41, `${count('refused')} were compared`)
    t.ok(count('unavailable') > 0, 'the others were dropped')
  },
)
