import dns from 'node:dns'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { type Connected, raceTo } from '../../lib/backend/race.ts'
import { until } from '../fixtures/until.ts'

const { lookup } = dns
t.teardown(() => Object.assign(dns, { lookup }))

/** The name `dual.test` has these addresses from now on. */
function resolveTo(...addresses: string[]): void {
  const all = addresses.map(address => ({
    address,
    family: address.includes(':') ? 6 : 4,
  }))
  Object.assign(dns, {
    lookup: (_name: string, _options: object, done: (...args: unknown[]) => void) =>
      process.nextTick(done, null, all),
  })
}

/** Attempts that go as the test says. */
function start(name = 'dual.test') {
  const asked = new Map<string, Connected>()
  const destroyed: string[] = []
  let outcome: string | undefined
  raceTo(
    name,
    (address, done) => {
      asked.set(address, done)
      return { destroy: () => destroyed.push(address) }
    },
    (error, socket) => {
      if (outcome !== undefined) throw new Error('told twice')
      outcome = error === null ? String(socket) : error.message
    },
  )
  return {
    asked,
    destroyed,
    get outcome() {
      return outcome
    },
  }
}

const socketTo = (name: string) =>
  ({ toString: () => name, destroy: () => {} }) as unknown as Socket

t.test('an address is asked at once, without a resolver', t => {
  const race = start('127.0.0.1')
  t.strictSame([...race.asked.keys()], ['127.0.0.1'])
  t.end()
})

t.test('a dead address is not waited for, nor a slow one given up', async t => {
  for (const order of [
    ['2001:db8::1', '192.0.2.1'],
    ['192.0.2.1', '2001:db8::1'],
  ]) {
    resolveTo(...order)
    const race = start()
    await until(() => race.asked.size === 2, 'both to be asked')
    t.equal(race.outcome, undefined)
    race.asked.get('192.0.2.1')?.(null, socketTo('slow'))
    t.equal(race.outcome, 'slow')
    t.ok(race.destroyed.includes('2001:db8::1'))
  }
})

t.test('a refusal brings on the next at once, one family after the other', async t => {
  resolveTo('2001:db8::1', '2001:db8::2', '192.0.2.1')
  const race = start()
  await until(() => race.asked.size === 1)
  race.asked.get('2001:db8::1')?.(new Error('refused'))
  t.strictSame([...race.asked.keys()], ['2001:db8::1', '192.0.2.1'])
  race.asked.get('192.0.2.1')?.(new Error('refused'))
  t.equal(race.outcome, undefined)
  race.asked.get('2001:db8::2')?.(new Error('unreachable'))
  t.equal(race.outcome, 'unreachable', 'the last word, when all have failed')
})

t.test('a name that is not known', async t => {
  const error = Object.assign(new Error('not known'), { code: 'ENOTFOUND' })
  Object.assign(dns, {
    lookup: (_name: string, _options: object, done: (error: Error) => void) =>
      process.nextTick(done, error),
  })
  const race = start()
  await until(() => race.outcome !== undefined)
  t.equal(race.outcome, 'not known')
})

t.test('for real: nobody on ::1, somebody on 127.0.0.1', async t => {
  Object.assign(dns, { lookup })
  const server = createServer(socket => socket.end('here')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  resolveTo('::1', '127.0.0.1')
  const socket = await new Promise<Socket>((resolve, reject) => {
    raceTo(
      'dual.test',
      (host, done) => {
        const attempt: Socket = connect({ host, port }, () => done(null, attempt))
        return attempt.on('error', error => done(error))
      },
      (error, winner) => (winner ? resolve(winner) : reject(error)),
    )
  })
  const [said] = await once(socket, 'data')
  t.equal(String(said), 'here')
})
