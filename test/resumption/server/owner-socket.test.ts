import { once } from 'node:events'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Socket,
  connect as tcpConnect,
} from 'node:net'
import { Duplex } from 'node:stream'
import t from 'tap'
import { attachedPort, farmOfOne } from '../../fixtures/resumption/world.ts'
import { unwrapped, type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { type TeardownScope, tellingServer } from '../../fixtures/tls/servers.ts'

/**
 * What owners of a shared port do with a raw connection around giving it to the TLS server. From
 * then on Node's TLS has it and does not mind, save for bytes that were put back and made to flow
 * in the same tick: those are lost to it.
 */
const habits: { readonly [name: string]: (socket: Socket, give: () => void) => void } = {
  'look first': (socket, give) => {
    socket.once('readable', () => {
      socket.unshift(socket.read())
      give()
    })
  },
  'resume in the next tick (nodejs/node#8752)': (socket, give) => {
    socket.once('data', first => {
      socket.pause()
      socket.unshift(first)
      give()
      process.nextTick(() => socket.resume())
    })
  },
  'resume at once': (socket, give) => {
    socket.once('data', first => {
      socket.pause()
      socket.unshift(first)
      give()
      socket.resume()
    })
  },
  'resume soon after, and again': (socket, give) => {
    socket.once('data', first => {
      socket.pause()
      socket.unshift(first)
      give()
      setImmediate(() => socket.resume())
      setTimeout(() => socket.resume(), 1)
    })
  },
  'put the bytes back after giving it': (socket, give) => {
    socket.once('data', first => {
      socket.pause()
      give()
      socket.unshift(first)
    })
  },
  'put the bytes back in two parts': (socket, give) => {
    socket.once('data', first => {
      socket.pause()
      socket.unshift(first.subarray(3))
      give()
      socket.unshift(first.subarray(0, 3))
      process.nextTick(() => socket.resume())
    })
  },
  'pause for good': (socket, give) => {
    give()
    socket.pause()
    process.nextTick(() => socket.pause())
    setImmediate(() => socket.pause())
  },
  'read whenever it is readable': (socket, give) => {
    give()
    const read = () => socket.read()
    socket.on('readable', read)
    process.nextTick(read)
  },
  'count its bytes': (socket, give) => {
    give()
    socket.on('data', () => {})
    process.nextTick(() => socket.resume())
  },
  'take all listeners off': (socket, give) => {
    socket.once('data', first => {
      socket.pause()
      socket.unshift(first)
      give()
      socket.removeAllListeners('data')
      socket.removeAllListeners('readable')
      socket.removeAllListeners('end')
      socket.resume()
    })
  },
  'time limits of its own': (socket, give) => {
    socket.setTimeout(20_000, () => socket.destroy())
    socket.once('data', first => {
      socket.pause()
      socket.unshift(first)
      give()
      socket.setTimeout(30_000, () => socket.destroy())
      socket.setNoDelay()
    })
  },
  'read one byte and put it back (httpolyglot)': (socket, give) => {
    const look = () => {
      const first = socket.read(1)
      if (first === null) return void socket.once('readable', look)
      socket.unshift(first)
      give()
    }
    look()
  },
  'keep a readable listener while giving it': (socket, give) => {
    const look = () => {
      const first = socket.read(1)
      if (first === null) return
      socket.off('readable', look)
      socket.unshift(first)
      give()
    }
    socket.on('readable', look)
  },
}

const lostWithout = ['resume at once', 'take all listeners off']

for (const [habit, touch] of Object.entries(habits)) {
  t.test(`an owner may ${habit}, and sessions resume`, async t => {
    const farm = await farmOfOne(t)
    const server = await tellingServer()
    const bare = await tellingServer()
    farm.attach(server)
    const port = await fronted(t, server, touch)
    const barePort = await fronted(t, bare, touch)
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      if (!lostWithout.includes(habit)) await visit({ port: barePort, maxVersion })
      const first = await visit({ port, maxVersion })
      const session = first.sessions[0] as Buffer
      t.match(await visit({ port, maxVersion, session }), { body: /local/, reused: true })
      // The farm is asked meanwhile, which takes a turn of the loop and more.
      const strange = await strangeSession(t, maxVersion)
      const other = await visit({ port, maxVersion, session: strange })
      t.match(other, { body: /unknown/, reused: false })
    }
  })
}

t.test('bytes in any pieces reach TLS, however the owner touches the socket', async t => {
  const farm = await farmOfOne(t)
  const server = await tellingServer()
  farm.attach(server)
  const port = await fronted(t, server, (socket, give) => {
    give()
    const busy = setInterval(() => {
      socket.pause()
      socket.resume()
    }, 1)
    socket.on('close', () => clearInterval(busy))
  })
  const upstream = tcpConnect(port, '127.0.0.1')
  upstream.setNoDelay()
  const over = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      const send = (at: number): void => {
        if (at >= chunk.length) done()
        else
          upstream.write(chunk.subarray(at, at + 100), () => setImmediate(send, at + 100))
      }
      send(0)
    },
    final(done) {
      upstream.end(done)
    },
  })
  upstream.on('data', chunk => over.push(chunk))
  upstream.on('end', () => over.push(null))
  t.match(await visit({ port, over } as VisitOptions), { body: /none-offered/ })
  upstream.destroy()
})

t.test('a raw connection need not be a socket of Node', async t => {
  const farm = await farmOfOne(t)
  const server = await tellingServer()
  farm.attach(server)
  const front = createTcpServer(socket => {
    // Keeps its `push` from the beginning, as wrappers of other transports do.
    const wrapped = new (class extends Duplex {
      constructor() {
        super()
        const push = this.push.bind(this)
        socket.on('data', push)
        socket.on('end', () => push(null))
        socket.on('error', error => this.destroy(error))
      }
      override _read(): void {}
      override _write(chunk: Buffer, _encoding: string, done: () => void): void {
        socket.write(chunk, done)
      }
      override _final(done: () => void): void {
        socket.end(done)
      }
    })()
    server.emit('connection', wrapped)
    process.nextTick(() => wrapped.resume())
  })
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  t.teardown(() => front.close())
  const { port } = front.address() as AddressInfo
  const first = await visit({ port })
  const session = first.sessions[0] as Buffer
  t.match(await visit({ port, session }), { body: /local/, reused: true })
})

/** A port whose connections are touched before they are given to the server. */
async function fronted(
  t: TeardownScope,
  server: Awaited<ReturnType<typeof tellingServer>>,
  touch: (socket: Socket, give: () => void) => void,
): Promise<number> {
  const front = createTcpServer(socket => {
    socket.on('error', () => {})
    touch(socket, () => server.emit('connection', socket))
  })
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    front.close()
  })
  return (front.address() as AddressInfo).port
}

/** A session of a member of another farm. */
async function strangeSession(
  t: TeardownScope,
  maxVersion: 'TLSv1.2' | 'TLSv1.3',
): Promise<Buffer> {
  const port = await attachedPort(t, await farmOfOne(t))
  const { sessions } = await visit({ port, maxVersion })
  return unwrapped(sessions[0] as Buffer)
}
