import { createServer as createHttpServer } from 'node:http'
import { createServer as createTlsServer, type Server } from 'node:tls'
import t from 'tap'
import { farmOfOne } from '../../fixtures/resumption/world.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { certificateFor, listening, tellingServer } from '../../fixtures/tls/servers.ts'

type Done = (...given: unknown[]) => void

/** Ways of having a session store of one's own, added to a server that is attached. */
const stores: { readonly [name: string]: (server: Server, seen: string[]) => void } = {
  'one that answers at once': (server, seen) => {
    const kept = new Map<string, Buffer>()
    server.on('newSession', (id, session, done) => {
      seen.push('newSession')
      kept.set(id.toString('hex'), session)
      done()
    })
    server.on('resumeSession', (id, done) => {
      seen.push('resumeSession')
      done(null, kept.get(id.toString('hex')) ?? null)
    })
  },
  'one that comes before all': (server, seen) => {
    server.prependListener('newSession', (_id, _session, done) => {
      seen.push('newSession')
      done()
    })
    server.prependListener('resumeSession', (_id, done) => {
      seen.push('resumeSession')
      done(null, null as never)
    })
  },
  'one that answers later, and twice': (server, seen) => {
    server.on('newSession', (_id, _session, done) => {
      seen.push('newSession')
      setImmediate(done)
      setImmediate(done)
    })
    server.on('resumeSession', (_id, done) => {
      seen.push('resumeSession')
      setImmediate(done as Done, null, null)
      setImmediate(done as Done, new Error('no such session'), null)
    })
  },
  'one that fails': (server, seen) => {
    server.on('newSession', () => seen.push('newSession'))
    server.on('resumeSession', (_id, done) => {
      seen.push('resumeSession')
      done(new Error('the store is down'), null)
    })
  },
  'one that never answers': (server, seen) => {
    server.on('newSession', () => seen.push('newSession'))
    server.on('resumeSession', () => seen.push('resumeSession'))
  },
  'one that answers rubbish': (server, seen) => {
    server.on('resumeSession', (_id, done) => {
      seen.push('resumeSession')
      done(null, Buffer.from('no session'))
    })
    server.on('newSession', () => seen.push('newSession'))
  },
}

for (const [name, add] of Object.entries(stores)) {
  t.test(`a session store added after attach decides nothing: ${name}`, async t => {
    const farm = await farmOfOne(t)
    const server = await tellingServer()
    farm.attach(server)
    const seen: string[] = []
    add(server, seen)
    const port = await listening(t, server)
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const first = await visit({ port, maxVersion })
      const session = first.sessions[0] as Buffer
      t.match(await visit({ port, maxVersion, session }), { body: /local/, reused: true })
    }
    t.ok(seen.includes('newSession') && seen.includes('resumeSession'), 'but it is told')
  })
}

t.test('listeners for sessions may come and go', async t => {
  const farm = await farmOfOne(t)
  const server = await tellingServer()
  farm.attach(server)
  const port = await listening(t, server)
  let count = 0
  const listener = (_id: Buffer, _session: Buffer, done: () => void) => {
    count += 1
    done()
  }
  const resumes = async (why: string) => {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const first = await visit({ port, maxVersion })
      const session = first.sessions[0] as Buffer
      t.match(await visit({ port, maxVersion, session }), { body: /local/ }, why)
    }
  }
  server.once('newSession', listener)
  await resumes('once')
  t.equal(count, 1)
  server.on('newSession', listener)
  server.off('newSession', listener)
  await resumes('removed')
  t.equal(count, 1)
  for (const event of ['newSession', 'resumeSession']) {
    server.removeAllListeners(event)
    await resumes(`all listeners of ${event} removed`)
  }
  t.match(farm.stats().handshakes, { failed: 0 })
})

t.test('after detach the owner has its events to itself', async t => {
  const farm = await farmOfOne(t)
  const server = await tellingServer()
  farm.attach(server)
  const kept = new Map<string, Buffer>()
  server.on('newSession', (id, session, done) => {
    kept.set(id.toString('hex'), session)
    done()
  })
  server.on('resumeSession', (id, done) => {
    done(null, kept.get(id.toString('hex')) ?? (null as never))
  })
  farm.detach(server)
  const port = await listening(t, server)
  const maxVersion = 'TLSv1.2'
  const first = await visit({ port, maxVersion, secureOptions: noTicket })
  const session = first.sessions[0]
  const again = await visit({
    port,
    maxVersion,
    session,
    secureOptions: noTicket,
  } as VisitOptions)
  t.equal(again.reused, true)
  t.notMatch(again.body, 'resumed')
})

t.test('a store from before attach is refused, with what to do', async t => {
  const farm = await farmOfOne(t)
  for (const event of ['newSession', 'resumeSession']) {
    const server = await tellingServer()
    const listener = () => {}
    server.on(event, listener)
    const refusal = { code: 'ERR_HANDFAST_USAGE', message: /remove it first/ }
    t.throws(() => farm.attach(server), refusal)
    server.off(event, listener)
    farm.attach(server)
  }
})

t.test('an emit of the owner, wrapped before or after, stays the owner’s', async t => {
  const farm = await farmOfOne(t)
  const server = await tellingServer()
  const seen = new Set<unknown>()
  const wrap = (name: string) => {
    const { emit } = server
    server.emit = (...event: unknown[]) => {
      seen.add(`${name} ${event[0]}`)
      return Reflect.apply(emit, server, event)
    }
  }
  wrap('inner')
  farm.attach(server)
  wrap('outer')
  const port = await listening(t, server)
  const first = await visit({ port })
  const session = first.sessions[0]
  t.match(await visit({ port, session } as VisitOptions), { body: /local/ })
  for (const name of ['inner', 'outer']) t.ok(seen.has(`${name} secureConnection`))
  farm.detach(server)
  t.match(await visit({ port }), { reused: false })
})

t.test(
  'two servers that hand their sockets to one keep their sessions apart',
  async t => {
    const http = createHttpServer((request, response) => {
      response.end(String(request.socket.localPort))
    })
    const ports: number[] = []
    const farms = [await farmOfOne(t), await farmOfOne(t)]
    for (const farm of farms) {
      const server = createTlsServer(await certificateFor('localhost'), socket =>
        http.emit('connection', socket),
      )
      farm.attach(server)
      ports.push(await listening(t, server as never))
    }
    const [a, b] = ports as [number, number]
    const first = await visit({ port: a })
    const [session] = first.sessions
    await visit({ port: b })
    t.equal((await visit({ port: b, session } as VisitOptions)).reused, false)
    t.equal((await visit({ port: a, session } as VisitOptions)).reused, true)
    t.same(
      farms.map(farm => farm.stats().handshakes.resumed),
      [1, 0],
    )
  },
)

const noTicket = 0x4000
