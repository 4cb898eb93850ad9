import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect as connectTcp } from 'node:net'
import { Duplex } from 'node:stream'
import { connect, createServer as createTlsServer, type Server } from 'node:tls'
import t from 'tap'
import { answerBeforeError } from '../../lib/resumption/held-error.ts'
import { p256 } from '../fixtures/certificates.ts'
import {
  deferred,
  only,
  resumptionOver,
  type Version,
  versions,
} from '../fixtures/resumption-world.ts'
import type { TeardownScope } from '../fixtures/servers.ts'

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

t.test('a handle that tells no errors is left alone', async t => {
  const handle = {}
  answerBeforeError(handle, () => t.fail('nothing to answer'))()
  t.same(handle, {})
})

/** Until the owner has heard so much. */
async function settled(heard: readonly string[], length: number): Promise<void> {
  const end = Date.now() + 5_000
  while (heard.length < length && Date.now() < end) {
    await new Promise(resolve => setImmediate(resolve))
  }
}
