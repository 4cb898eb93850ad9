import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import t from 'tap'
import { systemClock } from '../../../lib/clock.ts'
import { silentLog } from '../../../lib/log.ts'
import { Connection } from '../../../plugins/redis/client.ts'
import { Masters } from '../../../plugins/redis/masters.ts'
import { type RedisOptions, redisSetup } from '../../../plugins/redis/options.ts'
import { noRedis, RedisServer, redisAuthority } from '../../fixtures/redis/server.ts'
import type { TeardownScope } from '../../fixtures/tls/servers.ts'

const clock = systemClock
const terms = { budget: 10_000, isPatient: true }
/** For what must not fail because the machine has other work. */
const patient = { connectTimeout: 30_000, silence: 30_000 }
const greeting =
  '*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:2\r\n' +
  '$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n' +
  '$7\r\nmodules\r\n*0\r\n'

/** Somebody on Redis's port who answers each piece of bytes as the test wants. */
async function impostor(
  t: TeardownScope,
  answer: (socket: Socket, said: string) => void,
): Promise<number> {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', said => answer(socket, said.toString('latin1')))
    t.teardown(() => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as { port: number }).port
}

function connect(port: number, more: object = {}): Promise<Connection> {
  const address = { host: '127.0.0.1', port }
  return Connection.open({ address, clock, ...patient, ...more })
}

function masters(t: TeardownScope, options: RedisOptions | string): Masters {
  const made = new Masters(redisSetup(options), clock, silentLog)
  t.teardown(() => made.close())
  return made
}

t.test(
  'TLS with a user of its own; a password is nowhere to be seen',
  {
    skip: noRedis,
  },
  async t => {
    const acl = { user: 'farm', password: 'sesame: 7@/', rules: '~handfast:* +@all' }
    const server = await RedisServer.start(t, { tls: true, acl })
    const host = `127.0.0.1:${server.port}`
    const tls = { ca: await redisAuthority() }
    const inUrl = `rediss://farm:${encodeURIComponent(acl.password)}@${host}`
    for (const options of [
      { url: inUrl, tls },
      { url: `rediss://${host}`, username: 'farm', password: acl.password, tls },
    ]) {
      const good = masters(t, options)
      await good.open()
      t.equal(await good.call('handfast:a', ['SET', 'handfast:a', 'b'], terms), 'OK')
      t.same(
        await good.call('handfast:a', ['GET', 'handfast:a'], terms),
        Buffer.from('b'),
      )
      await t.rejects(good.call('other', ['GET', 'other'], terms), { code: 'NOPERM' })
      t.notMatch(inspect(good, { depth: 10, showHidden: true }), 'sesame')
    }
    const wrong = masters(t, { url: `rediss://farm:sesam@${host}`, tls })
    const error = await wrong.open().catch(error => error)
    t.match(error, { code: 'ERR_HANDFAST_JOIN', message: 'Redis refuses: WRONGPASS' })
    t.notMatch(inspect(error, { depth: 10 }), 'sesam')

    const strange = masters(t, { url: inUrl, connectTimeout: 2_000 })
    await strange.open()
    await t.rejects(strange.call('a', ['PING'], { budget: 100 }), {
      name: 'RedisUnreachable',
    })
  },
)

t.test('a server that only takes connections costs its time limit', async t => {
  const port = await impostor(t, () => {})
  await t.rejects(connect(port, { connectTimeout: 500 }), {
    message: /127.0.0.1:\d+: /,
  })
})

t.test('a server that falls silent is left, and calls are not kept', async t => {
  const port = await impostor(t, (socket, said) => {
    if (said.includes('HELLO')) socket.write(greeting)
  })
  const connection = await connect(port, { silence: 500 })
  await t.rejects(connection.call(['GET', 'a']), { message: /no answer for 500 ms/ })
  t.equal(connection.isOpen, false)
  await t.rejects(connection.call(['GET', 'a']), { name: 'RedisUnreachable' })
})

for (const [what, answer] of [
  ['garbage', '\0\x01\x02garbage\r\n'],
  ['a type that does not exist', '?7\r\n'],
  ['answers to what nobody asked', '+OK\r\n+OK\r\n+OK\r\n'],
  ['a list in a list in a list', '*1\r\n'.repeat(100_000)],
  ['a list of more than there can be', '*99999999999999\r\n'],
] as const) {
  t.test(`who answers with ${what} is left`, async t => {
    const port = await impostor(t, (socket, said) => {
      socket.write(said.includes('HELLO') ? greeting : answer)
    })
    const connection = await connect(port)
    const ended = new Promise<void>(resolve => connection.onEnd(resolve))
    await connection.call(['GET', 'a']).catch(() => {})
    await connection.call(['GET', 'b']).catch(() => {})
    await ended
    t.equal(connection.isOpen, false)
  })
}

t.test('an answer without an end is cut off', async t => {
  let sent = 0
  const port = await impostor(t, (socket, said) => {
    if (said.includes('HELLO')) {
      socket.write(greeting)
      return
    }
    const piece = Buffer.alloc(1024 * 1024)
    socket.write('$2000000000\r\n')
    const more = () => {
      while (!socket.destroyed && sent < 500) {
        sent += 1
        if (!socket.write(piece)) return
      }
    }
    socket.on('drain', more)
    more()
  })
  const connection = await connect(port)
  await t.rejects(connection.call(['GET', 'a']), { message: /too long/ })
  t.ok(sent < 200, `${sent} MiB`)
})

t.test('an older Redis is named', async t => {
  const port = await impostor(t, socket =>
    socket.write(greeting.replace('7.0.0', '6.0.9')),
  )
  await t.rejects(connect(port), { message: /version 6.0, 6.2 or later is needed/ })
})

t.test('what Redis says is not repeated', async t => {
  const port = await impostor(t, (socket, said) => {
    socket.write(said.includes('HELLO') ? greeting : '-ERR the password is sesame\r\n')
  })
  const connection = await connect(port)
  const error = await connection.call(['GET', 'a']).catch(error => error)
  t.match(error, { code: 'ERR' })
  t.notMatch(inspect(error), 'sesame')
  connection.close()
})

t.test('what the options say', async t => {
  for (const [url, expected] of [
    ['redis://cache', { addresses: [{ host: 'cache', port: 6379 }], database: 0 }],
    ['redis://u:p%40@a:1,b/3', { login: { username: 'u', password: 'p@' }, database: 3 }],
    ['redis://:p:q@a', { login: { password: 'p:q' } }],
    ['rediss://[::1]:7', { tls: {}, addresses: [{ host: '::1', port: 7 }] }],
    [
      'redis+sentinel://a,b:2/main/4',
      {
        kind: 'sentinel',
        masterName: 'main',
        database: 4,
        addresses: [
          { host: 'a', port: 26379 },
          { host: 'b', port: 2 },
        ],
      },
    ],
  ] as const) {
    t.match(redisSetup(url), expected, url)
  }
  for (const options of [
    'http://sesame',
    'redis://',
    'redis://sesame@a',
    'redis://u:sesame@a/b',
    'redis://u:sesame%@a',
    'redis://u:sesame@a/0/1/2',
    'redis://u:sesame@a:99999',
    'redis+sentinel://u:sesame@a',
    { prefix: 'sesame {' },
    { replicas: -1 },
    { commandTimeout: 1 },
    { username: 'sesame' },
    { passwort: 'sesame' } as RedisOptions,
  ]) {
    const error = (() => {
      try {
        return redisSetup(options)
      } catch (error) {
        return error
      }
    })()
    t.match(error, { code: 'ERR_HANDFAST_CONFIG' }, JSON.stringify(options))
    t.notMatch(inspect(error), 'sesame')
  }
})
