import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { createSecureContext, type Server } from 'node:tls'
import t from 'tap'
import { farmOfOne, only, versions } from '../../fixtures/resumption/world.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import {
  certificateFor,
  listening,
  type TeardownScope,
  tellingServer,
} from '../../fixtures/tls/servers.ts'

/** What the owner's AsyncLocalStorage holds in the events of the server. */
class Seen {
  readonly storage = new AsyncLocalStorage<string>()
  readonly events: string[] = []

  note(event: string): void {
    this.events.push(`${event} in ${this.storage.getStore()}`)
  }

  /** Some events come more than once. */
  get kinds(): string[] {
    return [...new Set(this.events)].sort()
  }

  listen(server: Server): void {
    server.on('secureConnection', () => this.note('secureConnection'))
    server.on('tlsClientError', () => this.note('tlsClientError'))
    server.on('request', () => this.note('request'))
  }
}

for (const version of versions) {
  t.test(
    `in ${version} what the owner's storage holds stays with the connection`,
    async t => {
      const seen = new Seen()
      const pair = await certificateFor('localhost')
      const server = await tellingServer({
        SNICallback: (_name, answer) => {
          seen.note('SNICallback')
          setImmediate(answer, null, createSecureContext(pair))
        },
      })
      const farm = await farmOfOne(t)
      farm.attach(server)
      seen.listen(server)
      const port = await frontPort(t, socket => {
        seen.storage.run('emit', () => server.emit('connection', socket))
      })
      const first = await visit({ port, ...only(version) })
      const session = first.sessions[0]
      const again = await visit({ port, session, ...only(version) } as VisitOptions)
      t.equal(again.reused, true)
      t.same(seen.kinds, [
        'SNICallback in emit',
        'request in emit',
        'secureConnection in emit',
      ])
    },
  )
}

t.test("what a listener enters before TLS is there in TLS's events", async t => {
  const seen = new Seen()
  const server = await tellingServer()
  server.prependListener('connection', () => seen.storage.enterWith('connection'))
  const farm = await farmOfOne(t)
  farm.attach(server)
  seen.listen(server)
  const port = await listening(t, server)
  await visit({ port })
  t.same(seen.kinds, ['request in connection', 'secureConnection in connection'])
  const wrong = connect(port, '127.0.0.1')
  wrong.write('EHLO a.test\r\n')
  await once(server, 'tlsClientError')
  wrong.destroy()
  t.equal(seen.events.at(-1), 'tlsClientError in connection')
})

t.test('a socket that its owner hears of belongs to the server', async t => {
  const server = await tellingServer()
  const farm = await farmOfOne(t)
  farm.attach(server)
  const port = await listening(t, server)
  for (const act of ['EHLO a.test\r\n', '\x16\x03\x01', ''] as const) {
    const client = connect(port, '127.0.0.1')
    client.on('error', () => {})
    client.end(act)
    const [, socket] = await once(server, 'tlsClientError')
    t.equal(socket.server, server)
  }
  const secure = once(server, 'secureConnection')
  await visit({ port })
  const [socket] = await secure
  t.equal(socket.server, server)
})

async function frontPort(
  t: TeardownScope,
  give: (socket: object) => void,
): Promise<number> {
  const front = createTcpServer(give)
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  t.teardown(() => front.close())
  return (front.address() as AddressInfo).port
}
