import { once } from 'node:events'
import { createServer as createHttp, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import type {
  ConnectionState,
  Tls13State,
} from '../../../lib/takeover/connection/connection-state.ts'
import { ProtectedConnection } from '../../../lib/takeover/connection/protected-connection.ts'
import {
  endOf,
  type PlannedResponse,
} from '../../../lib/takeover/plan/planned-response.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'
import { dataOf, Tls13Peer, tls13State } from '../../fixtures/takeover/tls13-peer.ts'
import { until } from '../../fixtures/until.ts'

const seed = testSeed()
const random = seededRandom(seed)
t.comment(`SEED=${seed}`)

const plain: ConnectionState = { kind: 'plain' }
const object = Buffer.from(Array.from({ length: 150_000 }, (_, i) => (i * 31) >>> 3))

t.test('HTTP over it: many requests on one connection, bodies both ways', async t => {
  for (const state of [plain, tls13State()]) {
    const { client, says, hears } = await pair(t, state)
    serve(client.connection, async (request, response) => {
      let bytes = 0
      for await (const chunk of request) bytes += chunk.length
      response.end(`${request.method} ${request.url} ${bytes}\n`)
    })
    for (let n = 0; n < 50; n++) says(`GET /${n} HTTP/1.1\r\nHost: a\r\n\r\n`)
    says('PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n')
    for (let n = 0; n < 10; n++) says('x'.repeat(10_000))
    says('GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    await once(client.socket, 'end')
    const text = hears().toString()
    for (let n = 0; n < 50; n++) t.ok(text.includes(`GET /${n} 0\n`))
    t.match(text, /PUT \/up 100000\n/)
    t.match(text, /GET \/last 0\n$/)
    t.equal(client.connection.position, client.socket.bytesRead)
  }
})

t.test(
  'a planned response is told before it is sent, and can be gone on with',
  async t => {
    for (const state of [plain, tls13State()]) {
      const { client, says, hears } = await pair(t, state)
      let planned: PlannedResponse | undefined
      serve(client.connection, async (request, response) => {
        if (request.url === '/small') {
          response.end('small')
          return
        }
        const { length } = object
        response.writeHead(200, { 'Content-Length': length, ETag: '"a"' })
        const plan = { first: 0, length, keepAlive: true }
        const isPlanned = client.connection.plan(plan, response => {
          planned = response
          t.equal(response.at, client.connection.position)
        })
        t.ok(isPlanned)
        for (let at = 0; at < length; ) {
          const chunk = object.subarray(at, at + 1 + Math.floor(random() * 40_000))
          at += chunk.length
          if (!response.write(chunk)) await once(response, 'drain')
        }
        response.end()
      })
      says('GET /small HTTP/1.1\r\nHost: a\r\n\r\n')
      await until(() => hears().length > 0)
      says('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      await until(
        () =>
          client.raw.length > 150_000 && client.raw.length === client.connection.position,
      )
      t.ok(hears().includes(object))
      const response = planned as PlannedResponse
      t.equal(endOf(response), client.connection.position)
      t.ok(hears().includes(response.head))
      const wire = client.raw.subarray(response.at)

      // Others go on from anywhere, with what was known when it began.
      const cuts = [0, 1, response.head.length, response.head.length + 25, 20_000]
      for (let i = 0; i < 8; i++) cuts.push(Math.floor(random() * wire.length))
      for (const cut of cuts) {
        const other = await pair(t, client.connection.state(), response.at + cut)
        const rest = other.client.connection.resumeResponse(response)
        if (typeof rest === 'string') throw new Error(rest)
        other.client.connection.write(object.subarray(rest.from, rest.from + rest.length))
        const end = endOf(response)
        await until(() => other.client.raw.length === end - response.at - cut)
        t.ok(other.client.raw.equals(wire.subarray(cut)), `cut at ${cut}`)
        t.equal(other.client.connection.position, end)
        // And it serves the next request.
        t.ok(
          other.client.connection.plan(
            { first: 0, length: 5, keepAlive: true },
            () => {},
          ),
        )
        other.client.socket.destroy()
      }
      const after = await pair(t, client.connection.state(), endOf(response))
      t.equal(after.client.connection.resumeResponse(response), 'complete')
      for (const position of [response.at - 1, endOf(response) + 1]) {
        const lost = await pair(t, client.connection.state(), position)
        t.equal(lost.client.connection.resumeResponse(response), 'impossible')
      }
      const other = await pair(t, state.kind === 'plain' ? tls13State() : plain)
      t.equal(other.client.connection.resumeResponse(response), 'impossible')
    }
  },
)

t.test('the first byte waits for whoever writes the plan down', async t => {
  const { client, hears } = await pair(t, tls13State())
  const { connection } = client
  let commit = () => {}
  const told = new Promise<void>(resolve => {
    commit = resolve
  })
  connection.plan({ first: 0, length: 4, keepAlive: true }, () => told)
  connection.write(head)
  connection.write('body')
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
  t.equal(client.raw.length, 0)
  commit()
  await until(() => hears().toString() === `${head}body`)
  connection.plan({ first: 0, length: 4, keepAlive: true }, async () => {
    throw new Error('not written down')
  })
  const failed = once(connection, 'error')
  connection.write(head)
  t.match((await failed)[0], { message: 'not written down' })
  await until(() => connection.destroyed)
  t.equal(hears().toString(), `${head}body`)
})

t.test(
  'what can not be planned is not: a request sent ahead, or something that waits',
  async t => {
    const { client, says } = await pair(t, tls13State())
    const { connection } = client
    connection.on('data', () => {})
    const plan = { first: 0, length: 4, keepAlive: true }
    t.notOk(connection.plan({ ...plan, length: 0 }, () => {}))
    says('GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /ne')
    await until(() => connection.readPosition > 40)
    t.notOk(connection.isBetweenRequests)
    t.notOk(connection.plan(plan, () => {}))
    says('xt HTTP/1.1\r\n\r\n')
    await until(() => connection.isBetweenRequests)
    connection.cork()
    connection.write('HTTP/1.1 103 Early Hints\r\n\r\n')
    t.notOk(connection.plan(plan, () => {}))
    connection.uncork()
    await until(() => connection.writableLength === 0)
    // A head that does not come in one piece is sent, and nobody is told.
    t.ok(connection.plan(plan, () => void t.fail('no head')))
    connection.write('HTTP/1.1 200 OK\r\n')
    await until(() => connection.writableLength === 0)
    // Within a response no other may begin: its bytes would have the numbers of the first.
    t.ok(connection.plan(plan, () => {}))
    connection.write(head)
    const failed = once(connection, 'error')
    t.notOk(connection.plan(plan, () => {}))
    t.match((await failed)[0], { code: 'ERR_HANDFAST_USAGE' })
    t.ok(connection.destroyed)
  },
)

t.test('a response that breaks off has no farewell that looks like its end', async t => {
  const { client, hears } = await pair(t, tls13State())
  const { connection } = client
  connection.plan({ first: 0, length: 50_000, keepAlive: true }, () => {})
  connection.write(head)
  connection.write(object.subarray(0, 20_000))
  connection.end()
  await once(client.socket, 'end')
  hears()
  t.notOk(client.records.some(({ type }) => type === 21))
  t.ok(client.partial > 0, 'it ends within a record')
})

t.test('otherwise it says farewell, and answers an error with its alert', async t => {
  const one = await pair(t, tls13State())
  one.client.connection.end('bye')
  await once(one.client.socket, 'end')
  t.equal(one.hears().toString(), 'bye')
  t.same(one.client.records.at(-1), { type: 21, content: Buffer.from([1, 0]) })

  const two = await pair(t, tls13State())
  two.client.connection.resume()
  const failed = once(two.client.connection, 'error')
  two.client.socket.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'))
  await once(two.client.socket, 'end')
  t.match((await failed)[0], { code: 'ERR_HANDFAST_PROTOCOL' })
  two.hears()
  t.same(two.client.records, [{ type: 21, content: Buffer.from([2, 10]) }])
})

t.test(
  'a client that says no more is answered, whether it says farewell or not',
  async t => {
    for (const farewell of [true, false]) {
      const { client, says, hears, peer } = await pair(t, tls13State())
      serve(client.connection, (request, response) => response.end(`${request.url}`))
      says('GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
      if (farewell) client.socket.write(peer.alert(0))
      client.socket.end()
      await once(client.socket, 'end')
      t.match(hears().toString(), /\/a$/)
      await until(() => client.connection.destroyed)
      t.ok(client.transport.destroyed)
    }
  },
)

t.test('neither side makes it hold more than it may', async t => {
  const { client, peer } = await pair(t, tls13State())
  const { connection, socket, transport } = client
  // Nobody reads what the client says.
  connection.pause()
  let written = 0
  const record = Buffer.alloc(16_384, 1)
  await new Promise<void>(resolve => {
    const more = () => {
      while (written < 64e6) {
        written += record.length
        if (!socket.write(peer.data(record))) break
      }
      if (written >= 64e6) resolve()
      else socket.once('drain', more)
    }
    connection.read(1)
    more()
    void until(() => transport.isPaused()).then(resolve)
  })
  t.ok(connection.readableLength < 300_000, `${connection.readableLength}`)
  t.ok(written < 64e6)
  // Nobody takes what the server says.
  socket.pause()
  let said = 0
  while (connection.write(Buffer.alloc(16_384)) && said < 64e6) said += 16_384
  await until(() => transport.writableLength > 0 || connection.writableLength > 0)
  t.ok(connection.writableLength + transport.writableLength < 300_000)
  socket.destroy()
})

t.test('time limits are those of the transport, and its errors end it', async t => {
  const { client } = await pair(t, tls13State())
  const { connection, socket } = client
  const timedOut = once(connection, 'timeout')
  connection.setTimeout(10)
  t.equal(connection.timeout, 10)
  await timedOut
  connection.setTimeout(0)
  connection.resume()
  socket.resetAndDestroy()
  await until(() => connection.destroyed)
  t.ok(client.transport.destroyed)
  t.ok((connection.state() as Tls13State).serverSecret.every(byte => byte === 0))
})

t.test('what is held says nothing before it is let go, its end included', async t => {
  for (const state of [plain, tls13State()]) {
    const { client, says, hears } = await pair(t, state)
    const { connection, socket } = client
    const before = connection.position
    connection.hold()
    connection.hold()
    const asked = once(connection, 'data')
    let written = false
    connection.write('one ', () => {
      written = true
    })
    connection.write('two ')
    connection.end('three')
    t.match(connection.state(), state, 'so what is told of it stays true')
    says('asked meanwhile')
    t.equal(String((await asked)[0]), 'asked meanwhile', 'it reads, all the same')
    t.equal(connection.position, before)
    t.equal(client.raw.length, 0)
    t.equal(written, false)
    connection.release()
    await once(socket, 'end')
    t.equal(hears().toString(), 'one two three')
    t.equal(written, true)
    t.equal(client.raw.length, connection.position)
    connection.release()
  }
})

t.test('a client that asks for new keys is answered when it is let go', async t => {
  const { client, says, hears, peer } = await pair(t, tls13State())
  const { connection, socket } = client
  connection.hold()
  socket.write(peer.keyUpdate(1))
  const asked = once(connection, 'data')
  says('under new keys')
  t.equal(String((await asked)[0]), 'under new keys')
  t.equal(client.raw.length, 0)
  connection.write('and so is this')
  connection.release()
  await until(() => hears().length > 0)
  t.equal(hears().toString(), 'and so is this')
  t.equal(client.records.filter(({ type }) => type === 22).length, 1)
})

t.test('what is held can be given up, and nothing of it is said later', async t => {
  const { client } = await pair(t, tls13State())
  const { connection, socket } = client
  connection.hold()
  connection.write('never', () => {})
  connection.destroy()
  await once(socket, 'close')
  connection.release()
  t.equal(client.raw.length, 0)
})

t.test('it says of itself what a TLSSocket would', async t => {
  const { client } = await pair(t, tls13State('TLS_AES_256_GCM_SHA384', { reused: true }))
  const { connection } = client
  t.match(connection, {
    encrypted: true,
    authorized: false,
    alpnProtocol: 'http/1.1',
    servername: 'localhost',
    remoteAddress: '127.0.0.1',
    localAddress: '127.0.0.1',
  })
  t.equal(connection.getProtocol(), 'TLSv1.3')
  t.equal(connection.getCipher()?.name, 'TLS_AES_256_GCM_SHA384')
  t.equal(connection.isSessionReused(), true)
  t.equal(connection.getPeerX509Certificate(), undefined)
  t.same(connection.getPeerCertificate(), {})
  const clear = await pair(t, plain)
  t.equal(clear.client.connection.getProtocol(), null)
  t.equal(clear.client.connection.encrypted, false)
})

const head = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n'

interface Tap {
  teardown(fn: () => unknown): void
}

/** Both ends of a connection; what the client got is read with the keys of the state. */
async function pair(t: Tap, state: ConnectionState, position = 0) {
  const server = createServer({ noDelay: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.setNoDelay(true)
  const [transport] = await accepted
  server.close()
  t.teardown(() => {
    socket.destroy()
    transport.destroy()
  })
  const connection = ProtectedConnection.adopt(transport, state, position, 0)
  connection.on('error', () => {})
  const peer = new Tls13Peer(state.kind === 'tls13' ? state : tls13State())
  const got: Buffer[] = []
  let read = 0
  const client = {
    socket,
    transport,
    connection,
    records: [] as ReturnType<Tls13Peer['read']>,
    get raw() {
      return Buffer.concat(got)
    },
    get partial() {
      return peer.partial
    },
  }
  socket.on('error', () => {})
  socket.on('data', chunk => got.push(chunk))
  const says = (text: string) =>
    socket.write(state.kind === 'plain' ? text : peer.data(text))
  const hears = () => {
    if (state.kind === 'plain') return client.raw
    client.records.push(...peer.read(client.raw.subarray(read)))
    read = client.raw.length
    return dataOf(client.records)
  }
  return { client, says, hears, peer }
}

function serve(connection: ProtectedConnection, listener: RequestListener): Server {
  const http = createHttp(listener)
  http.emit('connection', connection)
  return http
}
