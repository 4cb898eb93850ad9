import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcpServer,
  type Socket,
} from 'node:net'
import { type ConnectionOptions, connect, createServer, type TLSSocket } from 'node:tls'
import t from 'tap'
import { acceptorOptions, diallerOptions, farmPsk } from '../../../lib/farm/link/psk.ts'
import { frameTypes, writeFrame } from '../../../lib/wire/frame.ts'
import { streamVersion, writeGreeting } from '../../../lib/wire/frame-greeting.ts'
import {
  FarmMember,
  farmSecret,
  isLinked,
  startFarm,
  startMember,
} from '../../fixtures/farm/stream-member.ts'
import { startRelay } from '../../fixtures/farm/stream-relay.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'
import { p256 } from '../../fixtures/tls/certificates.ts'
import { until } from '../../fixtures/until.ts'

const psk = farmPsk(farmSecret, 'test')

/** What a client got from the farm port: the bytes, and the error that ended it. */
async function knock(
  port: number,
  options: ConnectionOptions,
): Promise<{ code: string | undefined; bytes: number; secure: boolean }> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    rejectUnauthorized: false,
    ...options,
  })
  let code: string | undefined
  let bytes = 0
  let secure = false
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code
  })
  socket.on('data', chunk => {
    bytes += chunk.length
  })
  socket.on('secureConnect', () => {
    secure = true
    socket.write(Buffer.alloc(64))
  })
  await closed(socket)
  return { code, bytes, secure }
}

t.test('strangers are refused, counted and logged, and learn nothing', async t => {
  const member = await startMember(t)
  const port = Number(member.address.split(':')[1])
  await member.put('a secret thing')
  const strangers: [string, ConnectionOptions][] = [
    ['no key at all', {}],
    ['TLS 1.2', { maxVersion: 'TLSv1.2' }],
    [
      'another secret',
      {
        ...diallerOptions(psk),
        pskCallback: () => ({ psk: randomBytes(32), identity: psk.identity }),
      },
    ],
    [
      'another identity',
      { ...diallerOptions(psk), pskCallback: () => ({ psk: psk.key, identity: 'test' }) },
    ],
    [
      'the secret of a farm with another name',
      diallerOptions(farmPsk(farmSecret, 'tset')),
    ],
    [
      'the raw secret as key',
      {
        ...diallerOptions(psk),
        pskCallback: () => ({ psk: farmSecret, identity: psk.identity }),
      },
    ],
  ]
  for (const [name, options] of strangers) {
    const { code, bytes, secure } = await knock(port, options)
    t.match(code, /^ERR_SSL_/, name)
    t.equal(bytes, 0, name)
    t.notOk(secure, name)
  }
  const plain = connectTcp(port, '127.0.0.1')
  plain.on('error', () => {})
  plain.end('GET / HTTP/1.1\r\n\r\n')
  const heard: Buffer[] = []
  plain.on('data', chunk => heard.push(chunk))
  await closed(plain)
  t.ok(Buffer.concat(heard).length <= 7, 'at most a TLS alert')
  t.equal(member.stat('refusedStrangers'), strangers.length + 1)
  t.equal(member.stat('strangers'), 0)
  const told = member.log.said('stranger refused')
  t.equal(told.length, strangers.length + 1)
  t.notMatch(JSON.stringify(member.log.lines), farmSecret.toString('hex'))
  t.equal(member.transport.members().length, 1, 'none became a member')
})

t.test('a ticket of an earlier link opens nothing', async t => {
  const member = await startMember(t)
  const port = Number(member.address.split(':')[1])
  const socket = connect({ host: '127.0.0.1', port, ...diallerOptions(psk) })
  const [session] = (await once(socket, 'session')) as [Buffer]
  socket.destroy()
  const { code, secure } = await knock(port, {
    session,
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256',
  })
  t.match(code, /^ERR_SSL_/)
  t.notOk(secure)
})

t.test('a stranger of IPv4 is called so on a port of both', async t => {
  const member = await startMember(t, { listen: { host: '::', port: 0 } })
  const { port } = member.channel.listening ?? {}
  await knock(Number(port), {})
  const [told] = member.log.said('stranger refused')
  t.equal(Reflect.get(told?.fields ?? {}, 'from'), '127.0.0.1')
})

t.test('a flood of log lines is held back', async t => {
  const member = await startMember(t)
  const port = Number(member.address.split(':')[1])
  await Promise.all(Array.from({ length: 40 }, () => knock(port, {})))
  t.equal(member.stat('refusedStrangers'), 40)
  t.ok(member.log.said('stranger refused').length <= 15)
})

t.test('silent connections do not keep a member out', async t => {
  const member = await startMember(t, { maxStrangers: 8, handshakeTimeout: 60_000 })
  const port = Number(member.address.split(':')[1])
  const silent = Array.from({ length: 30 }, () => connectTcp(port, '127.0.0.1'))
  for (const socket of silent) socket.on('error', () => {})
  t.teardown(() => {
    for (const socket of silent) socket.destroy()
  })
  await until(() => member.stat('refusedStrangers') === 22)
  t.equal(member.stat('strangers'), 8)
  const other = await startMember(t, { members: [member.address] })
  await until(() => isLinked(member, 1) && isLinked(other, 1))
  t.ok(await other.put('k', 'all'))
})

t.test('a connection that says nothing is ended in time', async t => {
  const member = await startMember(t, { handshakeTimeout: 1_000 })
  const port = Number(member.address.split(':')[1])
  const silent = connectTcp(port, '127.0.0.1')
  await closed(silent)
  const greeted = connect({ host: '127.0.0.1', port, ...diallerOptions(psk) })
  greeted.on('error', () => {})
  greeted.resume()
  await closed(greeted)
  t.ok(
    member.log
      .said('link ended')
      .some(line => line.fields['reason'] === 'no greeting in time'),
  )
  t.equal(member.stat('strangers'), 0)
})

t.test('a server that is not a member gets nothing, whatever it shows', async t => {
  const { key, cert } = await p256('localhost')
  const other = farmPsk(randomBytes(32), 'test')
  const rogues = [
    { key, cert },
    { key, cert, pskCallback: () => other.key },
    { key, cert, maxVersion: 'TLSv1.2' as const },
    acceptorOptions({ ...other, identity: psk.identity }, 1_000),
  ]
  for (const options of rogues) {
    let heard = 0
    const server = createServer(options, socket => {
      socket.on('error', () => {})
      socket.on('data', chunk => {
        heard += chunk.length
      })
    })
    server.on('tlsClientError', () => {})
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const { port } = server.address() as AddressInfo
    const member = new FarmMember({ members: [`127.0.0.1:${port}`] })
    await t.rejects(member.transport.start(), { code: 'ERR_HANDFAST_JOIN' })
    t.equal(heard, 0)
    t.equal(member.log.said('refused by the member').length, 1)
    t.notOk(member.isReady)
  }
  // A certificate that the system's authorities vouch for is no better.
  const previous = process.env['NODE_TLS_REJECT_UNAUTHORIZED']
  t.teardown(() => {
    if (previous === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = previous
  })
  const server = createServer({ key, cert }, socket => socket.on('error', () => {}))
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  for (const trust of [{ ca: cert }, {}]) {
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    const { secure } = await knock(port, { ...diallerOptions(psk), ...trust })
    t.notOk(secure)
  }
})

t.test('another secret: the member is refused on both sides', async t => {
  const member = await startMember(t)
  const wrong = new FarmMember({ members: [member.address], secret: randomBytes(32) })
  await t.rejects(wrong.transport.start(), {
    code: 'ERR_HANDFAST_JOIN',
    message: /is its secret the same/,
  })
  t.equal(member.stat('refusedStrangers'), 1)
  t.equal(member.stat('linksIn'), 0)
})

t.test('another farm name is told apart from another secret, on both sides', async t => {
  const member = await startMember(t)
  const wrong = new FarmMember({ members: [member.address], farmName: 'other' })
  await t.rejects(wrong.transport.start(), {
    code: 'ERR_HANDFAST_JOIN',
    message: /its farm has another name/,
  })
  const stranger = new FarmMember({ members: [member.address], secret: randomBytes(32) })
  await t.rejects(stranger.transport.start(), { message: /is its secret the same/ })
  const reasons = member.log
    .said('stranger refused')
    .map(({ fields }) => fields['reason'])
  t.same(reasons, ['another farm name', 'another secret'])
})

t.test('a call that is relayed back to its caller leads nowhere', async t => {
  const relay = await startRelay(t)
  const member = new FarmMember({ members: [relay.address], handshakeTimeout: 300 })
  t.teardown(() => member.transport.close())
  const started = member.transport.start()
  await until(() => member.channel.listening !== undefined)
  relay.lead(Number(member.address.split(':')[1]))
  await started
  await until(() => relay.captured.length > 0 && relay.open === 0)
  t.equal(member.transport.members().length, 1)
  t.equal(member.awaited, 0)
  t.ok(await member.put('k', 'all'), 'it does not take itself for another')

  // A relay that keeps its half open must not make the member keep the other.
  const port = member.channel.listening?.port ?? 0
  const socket = connect({ host: '127.0.0.1', port, ...diallerOptions(psk) })
  const { id, incarnation } = member.transport.members()[0] ?? { id: '', incarnation: 0 }
  const own = {
    version: streamVersion,
    id,
    incarnation,
    state: 'ready' as const,
    carrier: 'stream' as const,
    port,
    advertise: '',
  }
  socket.resume()
  await once(socket, 'secureConnect')
  socket.write(writeFrame(frameTypes.hello, writeGreeting({ ...own, members: [] })))
  await closed(socket)
  t.equal(member.stat('linksIn'), 0)
})

t.test('what passes between members can not be read', async t => {
  const relay = await startRelay(t)
  const reader = await startMember(t, { advertise: relay.address })
  relay.lead(Number(reader.address.split(':')[1]))
  const writer = await startMember(t, { members: [relay.address] })
  await until(() => isLinked(writer, 1))
  const secret = 'the master secret of a session '.repeat(20)
  t.ok(await writer.put('name of the session', 'all', 1_000, secret))
  const passed = Buffer.concat(relay.captured)
  t.ok(passed.length > secret.length)
  for (const word of ['master secret', 'name of the session', writer.id]) {
    t.notOk(passed.includes(word), word)
  }
})

t.test('a member that breaks the protocol loses its link, not more', async t => {
  const [member] = await startFarm(t, 1)
  if (member === undefined) return
  const port = Number(member.address.split(':')[1])
  let name = 0
  const greet = () =>
    writeFrame(
      frameTypes.hello,
      writeGreeting({
        version: streamVersion,
        id: `bad${name++}`,
        incarnation: 1,
        state: 'ready',
        carrier: 'stream',
        port: 0,
        advertise: '',
        members: [],
      }),
    )
  const oversized = Buffer.from([0xff, 0xff, 0xff, 0xff, 1])
  const cases: [string, Buffer[]][] = [
    ['zeros', [Buffer.alloc(4_096)]],
    ['an oversized frame', [greet(), oversized]],
    ['an oversized first frame', [oversized]],
    ['no hello first', [writeFrame(frameTypes.get, Buffer.alloc(9))]],
    ['a second hello', [greet(), greet()]],
    [
      'a frame that only acceptors send',
      [greet(), writeFrame(frameTypes.answer, Buffer.alloc(6))],
    ],
    ['an unknown frame', [greet(), Buffer.from([0, 0, 0, 0, 200])]],
    ['a ping with a body', [greet(), writeFrame(frameTypes.ping, Buffer.alloc(1))]],
    ['a cut greeting', [writeFrame(frameTypes.hello, Buffer.from([1, 0, 0]))]],
    ['an unknown state', [greet(), writeFrame(frameTypes.state, Buffer.from([9]))]],
    [
      'a get without a key',
      [greet(), writeFrame(frameTypes.get, Buffer.from([0, 0, 0, 1, 1, 0]))],
    ],
  ]
  for (const [what, frames] of cases) {
    const socket = connect({ host: '127.0.0.1', port, ...diallerOptions(psk) })
    socket.on('error', () => {})
    socket.resume()
    await once(socket, 'secureConnect')
    const ended = closed(socket)
    for (const frame of frames) socket.write(frame)
    await ended
    t.pass(what)
  }
  await until(() => member.stat('linksIn') === 0)
  t.ok(member.log.said('does not follow the protocol').length >= 8)
  const other = await startMember(t, { members: [member.address] })
  t.ok(await other.put('k', 'all'))
})

t.test('frames mutated at random end links at most', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const [member] = await startFarm(t, 1)
  if (member === undefined) return
  const port = Number(member.address.split(':')[1])
  const greeting = (id: string) => ({
    version: streamVersion,
    id,
    incarnation: 1,
    state: 'ready' as const,
    carrier: 'stream' as const,
    port: 0,
    advertise: '',
    members: [{ id: 'x', incarnation: 2, address: '127.0.0.1:1' }],
  })
  for (let round = 0; round < 60; round++) {
    const socket: TLSSocket = connect({ host: '127.0.0.1', port, ...diallerOptions(psk) })
    socket.on('error', () => {})
    socket.resume()
    await once(socket, 'secureConnect')
    const ended = closed(socket)
    const good = [writeFrame(frameTypes.hello, writeGreeting(greeting(`m${round}`)))]
    for (let i = 0; i < 20; i++) {
      const type = Math.floor(random() * 20) as 1
      good.push(writeFrame(type, bytesOf(random, Math.floor(random() * 60))))
    }
    const bytes = Buffer.concat(good)
    if (round % 2 === 0) {
      for (let i = 0; i < 3; i++) {
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
      }
    }
    for (let at = 0; at < bytes.length; ) {
      const piece = 1 + Math.floor(random() * 40)
      if (!socket.destroyed) socket.write(bytes.subarray(at, at + piece))
      at += piece
    }
    socket.end()
    await ended
  }
  await until(() => member.stat('linksIn') === 0)
  const other = await startMember(t, { members: [member.address] })
  await until(() => isLinked(other, 1))
  t.ok(await other.put('k', 'all'))
  t.notOk(member.log.lines.some(line => line.level === 'error'))
})

t.test('a port that is taken is a clear error', async t => {
  const server = createTcpServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const member = new FarmMember({ listen: { host: '127.0.0.1', port } })
  await t.rejects(member.transport.start(), { code: 'ERR_HANDFAST_JOIN' })
})

/** Waits for the end, whatever brought it. */
function closed(socket: Socket): Promise<void> {
  socket.on('error', () => {})
  return new Promise(resolve => socket.once('close', () => resolve()))
}

function bytesOf(random: () => number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)))
}
