import { once } from 'node:events'
import { createServer } from 'node:https'
import { connect as tcpConnect } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import t from 'tap'
import { tables } from '../../../lib/record/key.ts'
import type { CacheRecord } from '../../../lib/record/record.ts'
import { HeldConnection } from '../../fixtures/resumption/held-connection.ts'
import {
  deferred,
  memberServer,
  only,
  resume,
  resumptionOver,
  told,
  versions,
} from '../../fixtures/resumption/world.ts'
import { authority, clientOf, p256 } from '../../fixtures/tls/certificates.ts'
import { visit } from '../../fixtures/tls/client.ts'
import { captureHello } from '../../fixtures/tls/hello.ts'
import {
  listening,
  type TeardownScope,
  tellingServer,
} from '../../fixtures/tls/servers.ts'
import { until } from '../../fixtures/until.ts'

/* What happens when something ends, or changes, in the middle of a handshake. */

const stateful = { attach: { resumption: 'stateful' } } as const
const warnings: string[] = []
process.on('warning', warning => warnings.push(String(warning)))
t.teardown(() => {
  if (warnings.length > 0) throw new Error(warnings.join('\n'))
})

/** A server whose farm leaves each question open until the test answers it. */
async function askingServer(t: TeardownScope, options = {}) {
  const questions: ReturnType<typeof deferred<CacheRecord | undefined>>[] = []
  const world = resumptionOver(
    {
      fetch: () => {
        const question = deferred<CacheRecord | undefined>()
        questions.push(question)
        return question.promise
      },
    },
    options,
  )
  const server = await tellingServer({ requestCert: true, rejectUnauthorized: false })
  world.resumption.attach(server)
  const port = await listening(t, server)
  return { ...world, server, port, questions }
}

for (const version of versions) {
  t.test(
    `${version}: a session revoked while its client dallies does not resume`,
    async t => {
      const { farm, port } = await memberServer(t)
      const first = await visit({ port, ...only(version) })
      const held = new HeldConnection(port)
      const late = resume(port, first.sessions[0], {
        ...only(version),
        over: held.duplex,
      })
      late.catch(() => {})
      // The server has said yes, and waits for the client's Finished.
      await held.answered
      await farm.revoke({ lineage: Buffer.from(told(first).lineage ?? '', 'hex') })
      held.release()
      await t.rejects(late, 'the connection is closed')
      t.equal(farm.stats().handshakes.resumed, 0)
    },
  )

  t.test(`${version}: while the farm is asked`, async t => {
    const elsewhere = await memberServer(t, stateful)
    const unknown = (await visit({ port: elsewhere.port, ...only(version) })).sessions[0]

    await t.test('the server is closed', async t => {
      const { server, port, questions } = await askingServer(t)
      const asking = resume(port, unknown, only(version))
      await until(() => questions.length === 1)
      const closed = once(server, 'close')
      server.close()
      questions[0]?.resolve(undefined)
      t.match(told(await asking), { resumed: false, cause: 'unknown' })
      await closed
    })

    await t.test('the server is detached', async t => {
      const { server, port, questions, resumption } = await askingServer(t)
      const asking = resume(port, unknown, only(version))
      await until(() => questions.length === 1)
      resumption.detach(server)
      questions[0]?.resolve(undefined)
      const { reused, body } = await asking
      t.equal(reused, false)
      t.notMatch(body, 'resumed', 'it ends as a connection of a plain server')
    })

    await t.test('the client goes away', async t => {
      const { server, port, questions, counters } = await askingServer(t)
      const hello = await captureHello({
        rejectUnauthorized: false,
        session: unknown,
        ...only(version),
      } as object)
      for (const end of ['destroy', 'resetAndDestroy', 'end'] as const) {
        const socket = tcpConnect({ port, host: '127.0.0.1' })
        socket.on('error', () => {})
        const asked = questions.length
        socket.write(hello)
        await until(() => questions.length > asked)
        socket[end]()
        socket.resume()
        if (end !== 'end') await once(socket, 'close')
        questions.at(-1)?.resolve(undefined)
      }
      await until(() => counters.snapshot().failed === 3)
      const gone = await new Promise(resolve =>
        server.getConnections((_error, count) => resolve(count)),
      )
      t.equal(gone, 0)
      t.equal(
        (await visit({ port, ...only(version) })).reused,
        false,
        'others are served',
      )
    })

    await t.test('the store fails', async t => {
      const { port, questions } = await askingServer(t)
      const asking = resume(port, unknown, only(version))
      await until(() => questions.length === 1)
      questions[0]?.reject(new Error('on fire'))
      t.match(told(await asking), { resumed: false, cause: 'unknown' })
    })

    await t.test('the settings change', async t => {
      const [ann, bob] = ['CA of ann', 'CA of bob']
      const mine = await clientOf(ann)
      const world = await askingServer(t)
      world.server.setSecureContext({
        ...(await p256('localhost')),
        ca: (await authority(ann)).cert,
      })
      const first = await visit({ port: world.port, ...mine, ...only(version) })
      t.match(told(first), { clientAuthorized: true })
      const [id] = [Buffer.from(told(first).lineage ?? '', 'hex')]
      const found = world.cache.getLocal(tables.session, id)
      await world.cache.purge(tables.session)
      const asking = resume(world.port, first.sessions[0], { ...mine, ...only(version) })
      await until(() => world.questions.length === 1)
      world.server.setSecureContext({
        ...(await p256('localhost')),
        ca: (await authority(bob)).cert,
      })
      world.questions[0]?.resolve({
        table: tables.session,
        key: id,
        value: found?.value ?? Buffer.alloc(0),
        version: { ms: Date.now(), logical: 0, node: 2 },
        expiresAt: Date.now() + 60_000,
        tombstone: false,
      })
      const again = told(await asking)
      t.match(again, { resumed: false, cause: 'policy', clientAuthorized: false })
    })
  })

  t.test(`${version}: while a session waits for another member`, async t => {
    const writes: ReturnType<typeof deferred<boolean>>[] = []
    const { resumption, counters } = resumptionOver({
      publish: () => {
        const write = deferred<boolean>()
        writes.push(write)
        return write.promise
      },
    })
    const server = await tellingServer()
    resumption.attach(server)
    const port = await listening(t, server)
    const expected = version === 'TLSv1.3' ? 2 : 1
    const begin = async () => {
      const before = writes.length
      const socket = dial(port, only(version))
      await until(() => writes.length === before + expected)
      return socket
    }

    await t.test('the client goes away', async t => {
      const open = connectionsOf(server)
      const sockets: TLSSocket[] = []
      for (let n = 0; n < 20; n += 1) sockets.push(await begin())
      for (const [n, socket] of sockets.entries()) {
        if (n % 2 === 0) socket.destroy()
        else socket.end()
      }
      for (const write of writes.splice(0)) write.resolve(false)
      await new Promise(resolve => setImmediate(resolve))
      for (const socket of sockets) socket.destroy()
      await until(() => connectionsOf(server) === open)
      t.equal(open, 0)
    })

    await t.test('the write fails', async t => {
      const visiting = visit({ port, ...only(version) })
      await until(() => writes.length === expected)
      for (const write of writes.splice(0)) write.reject(new Error('on fire'))
      t.match(await visiting, { reused: false, body: /none-offered/ })
    })

    await t.test('the server is detached', async t => {
      const visiting = visit({ port, ...only(version) })
      await until(() => writes.length === expected)
      resumption.detach(server)
      for (const write of writes.splice(0)) write.resolve(true)
      t.equal((await visiting).reused, false)
      t.equal(counters.snapshot().resumed, 0)
    })
  })

  t.test(`${version}: a farm that is closed right after a session was made`, async t => {
    const { farm, server, port } = await memberServer(t, stateful)
    // Runs after the attachment's own listener, before it stores anything.
    server.on('newSession', (_id: Buffer, _session: Buffer, done: () => void) => {
      void farm.close()
      void done
    })
    const { reused } = await visit({ port, ...only(version) })
    t.equal(reused, false)
    server.removeAllListeners('newSession')
    t.equal((await visit({ port, ...only(version) })).reused, false, 'the server goes on')
    t.throws(() => farm.attach(server), { code: 'ERR_HANDFAST_CLOSED' })
    await t.rejects(farm.revoke({ all: true }), { code: 'ERR_HANDFAST_CLOSED' })
  })

  t.test(
    `${version}: a certificate too large for Node to keep costs its session only`,
    async t => {
      const names = Array.from({ length: 320 }, (_, n) => `${n}.${'x'.repeat(200)}.test`)
      const large = await p256('large', ...names)
      const { farm, port } = await memberServer(t, {
        server: { requestCert: true, rejectUnauthorized: false },
      })
      const first = await visit({ port, ...large, ...only(version) })
      t.match(told(first), { resumed: false, clientAuthorized: false })
      t.equal(farm.stats().table.records, 0)
      const again = await resume(port, first.sessions[0], { ...large, ...only(version) })
      t.equal(again.reused, false)
    },
  )

  t.test(`${version}: a farm that is closed before the hello comes`, async t => {
    for (const resumption of ['stateful', 'sealed'] as const) {
      const { farm, server, port } = await memberServer(t, { attach: { resumption } })
      const first = await visit({ port, ...only(version) })
      const accepted = once(server, 'connection')
      const over = tcpConnect({ port, host: '127.0.0.1' })
      await accepted
      await farm.close()
      const late = await resume(port, first.sessions[0], { ...only(version), over })
      t.equal(late.reused, false, resumption)
      t.notMatch(late.body, 'resumed')
    }
  })

  t.test(`${version}: attached and detached under traffic`, async t => {
    const { farm, server, port } = await memberServer(t)
    let done = false
    let visits = 0
    const traffic = Array.from({ length: 3 }, async () => {
      let session: Buffer | undefined
      while (!done) {
        const { sessions } = await resume(port, session, only(version))
        session = sessions.at(-1) ?? session
        visits += 1
      }
    })
    const { key, cert } = await p256('localhost')
    for (let n = 0; n < 60; n += 1) {
      if (n % 2 === 0) farm.detach(server)
      else farm.attach(server)
      if (n % 5 === 0) server.setSecureContext({ key, cert })
      const before = visits
      await until(() => visits > before)
    }
    done = true
    await Promise.all(traffic)
    t.equal(server.listenerCount('connection'), 1)
    t.equal(server.listenerCount('newSession'), 1)
    t.equal(server.listenerCount('secureConnection'), 2, "ours and https's own")
  })

  t.test(`${version}: a function of the options that throws`, async t => {
    for (const name of ['resumption', 'policyOf'] as const) {
      const { port } = await memberServer(t, {
        attach: {
          [name]: () => {
            throw new TypeError('no such name')
          },
        } as object,
      })
      const first = await visit({ port, ...only(version) })
      t.match(told(first), { cause: 'off' }, name)
      t.equal((await resume(port, first.sessions[0], only(version))).reused, false)
    }
  })

  t.test(
    `${version}: a client that has nothing more to send gets its answer`,
    async t => {
      // The hello and the end of the stream in one go: TLS reports it, nothing is left over.
      const { farm, port } = await memberServer(t)
      const hello = await captureHello(only(version))
      const socket = tcpConnect({ port, host: '127.0.0.1', allowHalfOpen: true })
      socket.end(hello)
      const [answer] = (await once(socket, 'data')) as [Buffer]
      t.equal(answer[0], 22, 'a ServerHello')
      await once(socket.resume(), 'end')
      socket.destroy()
      await until(() => farm.stats().handshakes.failed === 1)
    },
  )
}

t.test('modes that do not exist are refused', async t => {
  const { farm } = await memberServer(t)
  const server = createServer(await p256('localhost'))
  const usage = { code: 'ERR_HANDFAST_USAGE', message: /resumption must be/ }
  t.throws(() => farm.attach(server, { resumption: 'statefull' } as object), usage)
  t.equal(server.listenerCount('newSession'), 0)
  farm.attach(server, { resumption: (() => 'statefull') as never })
  const port = await listening(t, server)
  const socket = dial(port)
  await once(socket, 'secureConnect')
  socket.destroy()
})

function dial(port: number, options: ConnectionOptions = {}): TLSSocket {
  const socket = connect({
    port,
    host: '127.0.0.1',
    servername: 'localhost',
    rejectUnauthorized: false,
    ...options,
  })
  socket.on('error', () => {})
  return socket
}

function connectionsOf(server: { _connections?: number } | object): number {
  return (server as { _connections: number })._connections
}
