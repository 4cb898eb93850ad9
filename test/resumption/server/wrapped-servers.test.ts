import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import { type Socket, connect as tcpConnect } from 'node:net'
import t from 'tap'
import { farmOfOne, sourceOf, told, ways } from '../../fixtures/resumption/world.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { listening, tellingServer } from '../../fixtures/tls/servers.ts'

type Give = (socket: Socket) => void

/** As read-tls-client-hello wraps a server: Node's listener is in a closure from then on. */
function trackHellos(server: Server): void {
  const give = server.listeners('connection')[0] as Give
  server.removeListener('connection', give)
  server.on('connection', async (socket: Socket) => {
    const chunk = await firstBytes(socket)
    Object.assign(socket, { tlsClientHello: chunk[0] })
    socket.unshift(chunk)
    give.call(server, socket)
  })
}

async function firstBytes(socket: Socket): Promise<Buffer> {
  for (;;) {
    const chunk: Buffer | null = socket.read()
    if (chunk !== null) return chunk
    await once(socket, 'readable')
  }
}

/** As httpolyglot does: Node's listener is in a property, and called by the first byte. */
function twoProtocols(server: Server): void {
  const [give] = server.listeners('connection') as [Give]
  server.removeListener('connection', give)
  const shared = Object.assign(server, { __tlsSocketHandler: give })
  server.on('connection', (socket: Socket) => {
    const look = () => {
      const first: Buffer | null = socket.read(1)
      if (first === null) {
        socket.once('readable', look)
        return
      }
      socket.unshift(first)
      if (first[0] === 22) shared.__tlsSocketHandler(socket)
      else socket.end('HTTP/1.1 200 OK\r\n\r\nin clear')
    }
    look()
  })
}

/** As findhit-proxywrap does: Node's listener is under an event of its own. */
function proxyProtocol(server: Server): void {
  const listeners = server.listeners('connection') as Give[]
  server.removeAllListeners('connection')
  for (const listener of listeners) server.on('proxiedConnection', listener)
  server.on('connection', (socket: Socket) => {
    let seen = Buffer.alloc(0)
    const look = () => {
      for (;;) {
        const chunk: Buffer | null = socket.read()
        if (chunk === null) return
        seen = Buffer.concat([seen, chunk])
        const end = seen.indexOf('\r\n')
        if (end < 0) continue
        socket.removeListener('readable', look)
        Object.defineProperty(socket, 'remoteAddress', { value: '192.0.2.7' })
        server.emit('proxiedConnection', socket)
        if (seen.length > end + 2) socket.unshift(seen.subarray(end + 2))
        socket.emit('readable')
        return
      }
    }
    socket.on('readable', look)
  })
}

const wrappers = { trackHellos, twoProtocols, proxyProtocol }

for (const [name, wrap] of Object.entries(wrappers)) {
  for (const order of ['attached, then wrapped', 'wrapped, then attached']) {
    if (wrap === trackHellos && order.startsWith('wrapped')) continue
    for (const way of ways)
      t.test(`${way}, ${name}: a server that is ${order} resumes`, async t => {
        const farm = await farmOfOne(t)
        const server = await tellingServer()
        if (order.startsWith('wrapped')) wrap(server)
        farm.attach(server, { resumption: way })
        if (order.startsWith('attached')) wrap(server)
        const port = await listening(t, server)
        const header = wrap === proxyProtocol
        for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
          const first = await call(port, header, { maxVersion })
          const session = first.sessions[0] as Buffer
          const again = await call(port, header, { maxVersion, session })
          t.match(told(again), {
            resumed: sourceOf(maxVersion, way),
            lineage: told(first).lineage,
          })
        }
        farm.detach(server)
        const bare = await call(port, header, {})
        t.notMatch(bare.body, 'resumed', 'and after detach it is as Node has it')
        farm.attach(server)
        const first = await call(port, header, {})
        t.match(told(first), { resumed: false, cause: 'none-offered' })
      })
  }
}

t.test('a wrapper that hides what we need is told how to be attached', async t => {
  const farm = await farmOfOne(t)
  const server = await tellingServer()
  trackHellos(server)
  t.throws(() => farm.attach(server), {
    code: 'ERR_HANDFAST_USAGE',
    message: /attach the server first, and wrap it afterwards/,
  })
  const nothing = createServer()
  nothing.removeAllListeners('connection')
  t.throws(() => farm.attach(nothing), { code: 'ERR_HANDFAST_USAGE' })
})

/** `header`: with a line of the PROXY protocol, in one segment with the hello. */
function call(port: number, header: boolean, options: Omit<VisitOptions, 'port'>) {
  if (!header) return visit({ port, ...options })
  const over = tcpConnect(port, '127.0.0.1')
  over.setNoDelay()
  over.cork()
  over.write('PROXY TCP4 192.0.2.7 192.0.2.1 4000 443\r\n')
  setImmediate(() => over.uncork())
  return visit({ port, over, ...options })
}
