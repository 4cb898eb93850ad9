import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect as connectTcp } from 'node:net'
import { Duplex } from 'node:stream'
import { connect, createServer as createTlsServer, type Server } from 'node:tls'
import t from 'tap'
import { LastWords } from '../../../lib/resumption/native/last-words.ts'
import { isFast } from '../../fixtures/is-fast.ts'
import { patience } from '../../fixtures/patience.ts'
import {
  deferred,
  only,
  resumptionOver,
  type Version,
  versions,
} from '../../fixtures/resumption/world.ts'
import { p256 } from '../../fixtures/tls/certificates.ts'
import type { TeardownScope } from '../../fixtures/tls/servers.ts'

/*
 * A client that says something illegal in the flight of its Finished, while the session that
 * its handshake made is on its way to another member. It must hear what a bare server tells it.
 */

const pair = await p256('localhost')

const illegal: { readonly [name: string]: Buffer } = {
  'a record under no key': Buffer.concat([
    Buffer.from([23, 3, 3, 0, 64]),
    Buffer.alloc(64, 1),
  ]),
  'a record of no known type': Buffer.from([99, 3, 3, 0, 1, 0]),
  'a record that is too long': Buffer.concat([
    Buffer.from([23, 3, 3, 0x48, 0x01]),
    Buffer.alloc(0x4801),
  ]),
  'a record of no known version': Buffer.from([23, 9, 9, 0, 1, 0]),
  'an empty record': Buffer.from([23, 3, 3, 0, 0]),
  'a handshake in clear': Buffer.from([22, 3, 3, 0, 4, 0, 0, 0, 0]),
  'a request in clear': Buffer.from('GET / HTTP/1.1\r\n\r\n'),
}

const kinds: { readonly [name: string]: () => Server } = {
  tls: () => createTlsServer(pair, socket => socket.on('error', () => {})),
  https: () => createHttpsServer(pair),
  http2: () => createSecureServer(pair),
}

type Failure = Error & { readonly code?: string }

/** What a client is told that says `tail` in the flight of its Finished, or when `later`. */
async function tell(
  port: number,
  version: Version,
  tail: Buffer,
  setting: { readonly session?: Buffer; readonly later?: Promise<unknown> } = {},
) {
  const { session, later } = setting
  const tcp = connectTcp({ port, host: '127.0.0.1', noDelay: true })
  let writes = 0
  const through = new Duplex({
    read: () => {},
    write(chunk: Buffer, _encoding, done) {
      writes += 1
      const last = writes === 2
      if (last && later !== undefined) void later.then(() => tcp.write(tail))
      const all = last && later === undefined ? Buffer.concat([chunk, tail]) : chunk
      tcp.write(all, done)
    },
    final: done => void tcp.end(done),
    destroy(error, done) {
      tcp.destroy()
      done(error)
    },
  })
  tcp.on('data', chunk => through.push(chunk))
  tcp.on('end', () => through.push(null))
  tcp.on('error', error => through.destroy(error))
  const client = connect({
    socket: through,
    servername: 'localhost',
    rejectUnauthorized: false,
    ALPNProtocols: ['h2', 'http/1.1'],
    ...only(version),
    ...(session && { session }),
  })
  const sessions: Buffer[] = []
  client.on('session', made => sessions.push(made))
  let finished = false
  client.on('secureConnect', () => {
    finished = true
  })
  const error = await new Promise<string | undefined>(resolve => {
    client.on('error', (failure: Failure) => resolve(failure.code))
    client.on('close', () => resolve('closed without a word'))
  })
  client.destroy()
  tcp.destroy()
  return { error, finished, tickets: sessions.length, sessions }
}

/** A server, and what its owner hears of a client. */
async function world(t: TeardownScope, server: Server) {
  const heard: string[] = []
  server.on('secureConnection', socket => {
    heard.push('secureConnection')
    socket.once('error', ({ code }: Failure) => heard.push(String(code)))
    // Node may say it twice.
    socket.on('error', () => {})
  })
  server.on('tlsClientError', ({ code }: Failure) => heard.push(`tls ${code}`))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, heard }
}

for (const version of versions) {
  for (const [kind, make] of Object.entries(kinds)) {
    t.test(`${version}, ${kind}: an illegal record is answered as ever`, async t => {
      const attached = make()
      resumptionOver({}).resumption.attach(attached)
      const [bare, ours] = [await world(t, make()), await world(t, attached)]
      for (const [name, tail] of Object.entries(illegal)) {
        const { sessions: _, ...expected } = await tell(bare.port, version, tail)
        t.match(expected, { error: /ALERT/, finished: true }, name)
        const { sessions, ...told } = await tell(ours.port, version, tail)
        t.same(told, expected, name)
      }
      await settled(ours.heard, bare.heard.length)
      t.same(ours.heard, bare.heard)
    })
  }

  t.test(`${version}: an illegal record while another member is awaited`, async t => {
    const [asked, stored] = [deferred<void>(), deferred<boolean>()]
    const server = createHttpsServer(pair)
    const { resumption } = resumptionOver({
      publish: () => {
        asked.resolve()
        return stored.promise
      },
    })
    resumption.attach(server)
    const { port, heard } = await world(t, server)
    const tail = illegal['a record that is too long'] ?? Buffer.alloc(0)
    const told = await tell(port, version, tail, { later: asked.promise })
    t.match(told, {
      error: 'ERR_SSL_TLSV1_ALERT_RECORD_OVERFLOW',
      finished: true,
      tickets: version === 'TLSv1.3' ? 2 : 1,
    })
    await settled(heard, 2)
    t.equal(
      heard[0],
      'secureConnection',
      'and then the error, which is no failed handshake',
    )
    t.match(heard[1], /^ERR_SSL/)
    stored.resolve(true)
  })
}

t.test('a ticket that is renewed is not lost to an illegal record', async t => {
  const server = createHttpsServer(pair)
  resumptionOver({}).resumption.attach(server)
  const { port } = await world(t, server)
  const tail = illegal['a record that is too long'] ?? Buffer.alloc(0)
  const { sessions } = await tell(port, 'TLSv1.3', tail)
  const session = sessions[0]
  const told = await tell(port, 'TLSv1.3', tail, { ...(session && { session }) })
  t.match(told, { error: 'ERR_SSL_TLSV1_ALERT_RECORD_OVERFLOW', tickets: 1 })
})

/** What the client gets of the text that a server sends it and then ends, in some way. */
async function hear(port: number, version: Version, say: string): Promise<string> {
  const client = connect({ port, rejectUnauthorized: false, ...only(version) })
  let heard = ''
  client.on('secureConnect', () => client.write(say))
  client.on('data', chunk => {
    heard += chunk
  })
  client.on('error', () => {})
  await once(client, 'close')
  return heard
}

for (const version of versions) {
  t.test(`${version}: what a server says and then ends is heard`, async t => {
    const say = 'GET / HTTP/1.0\n\n'
    const servers = {
      '400 of an https server': () => createHttpsServer(pair),
      end: () => createTlsServer(pair, socket => socket.end('400')),
      destroySoon: () =>
        createTlsServer(pair, socket => {
          socket.write('400')
          socket.destroySoon()
        }),
      'write and destroy, once asked': () =>
        createTlsServer(pair, socket => {
          socket.once('data', () => {
            socket.write('400')
            socket.destroy()
          })
        }),
    }
    for (const [name, make] of Object.entries(servers)) {
      const attached = make()
      resumptionOver({}).resumption.attach(attached)
      const [bare, ours] = [await world(t, make()), await world(t, attached)]
      t.match(await hear(bare.port, version, say), /400/, `${name}, on a bare server`)
      for (let n = 0; n < 10; n += 1) {
        t.match(await hear(ours.port, version, say), /400/, name)
      }
    }
  })

  t.test(`${version}: it is heard while another member is awaited, too`, async t => {
    const stored = deferred<boolean>()
    const server = createHttpsServer(pair)
    resumptionOver({ publish: () => stored.promise }).resumption.attach(server)
    const { port } = await world(t, server)
    const heard = hear(port, version, 'GET / HTTP/1.0\n\n')
    // On TLS 1.2 no client speaks before it has heard the server's Finished.
    if (version === 'TLSv1.2') setImmediate(() => stored.resolve(true))
    t.match(await heard, /400/)
    stored.resolve(true)
  })
}

t.test('a handle without those methods is left alone', async t => {
  const handle = {}
  new LastWords(handle, () => t.fail('nothing to answer')).answered()
  t.same(handle, {})
})

t.test('a handle is left as it was found', async t => {
  const ends: string[] = []
  class Handle {
    onerror = () => ends.push('error')
    newSessionDone() {
      ends.push('done')
    }
    close() {
      ends.push('close')
    }
    shutdown() {
      ends.push('shutdown')
      return 0
    }
  }
  const [handle, untouched] = [new Handle(), new Handle()]
  const words = new LastWords(handle, () => ends.push('answer'))
  t.notSame(Object.keys(handle), Object.keys(untouched))
  handle.shutdown()
  handle.close()
  handle.onerror()
  t.same(ends, ['done', 'done'])
  words.answered()
  await settled(ends, 6)
  t.same(ends, ['done', 'done', 'shutdown', 'close', 'answer', 'error'])
  t.equal(handle.close, untouched.close)
  t.equal(handle.shutdown, untouched.shutdown)
  t.ok(isFast(handle), 'and is no dictionary')
  handle.close()
  t.equal(ends.at(-1), 'close')
})

/** Until the owner has heard so much. */
async function settled(heard: readonly string[], length: number): Promise<void> {
  const end = Date.now() + patience
  while (heard.length < length && Date.now() < end) {
    await new Promise(resolve => setImmediate(resolve))
  }
}
