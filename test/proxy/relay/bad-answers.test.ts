import type { Socket } from 'node:net'
import t from 'tap'
import { startRawBackend } from '../../fixtures/backend/raw-backend.ts'
import { plain, Said, statusLine } from '../../fixtures/proxy/answers.ts'
import { rawExchange } from '../../fixtures/proxy/raw.ts'
import { defaultSite, startProxy } from '../../fixtures/proxy/servers.ts'

const said = await Said.start(t)
said.answers.set('/fine', plain())

/** What no HTTP can say: an answer of our own, on a connection that goes on. */
const unsayable: readonly [name: string, says: string][] = [
  ['101 that nobody asked for', statusLine('HTTP/1.1 101 Switching Protocols', 'X-A: 1')],
  [
    '101 with an Upgrade that nobody asked for',
    statusLine('HTTP/1.1 101 S', 'Connection: Upgrade', 'Upgrade: h2c'),
  ],
  ['status 099', plain().replace('200', '099')],
  ['status 000', plain().replace('200', '000')],
  ['status 99', plain().replace('200', '99')],
  ['status 1000', plain().replace('200', '1000')],
  ['a name with a space', plain('X A: 1')],
  ['a name of HTTP/2’s own', plain(':status: 201')],
  ['a line end that is none', plain('X-A: a\rX-B: b')],
  ['bare LF', plain('X-A: a\nX-B: b')],
  ['a control byte in the length', 'HTTP/1.1 200 OK\r\nContent-Length: \x012\r\n\r\nok'],
  [
    'a control byte in the coding',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: \x01chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  ],
  ...[
    'chunked\r\n ',
    'chunked,\r\n chunked',
    'chun\r\n ked',
    'chunked,',
    'chunked, identity',
  ].map((coding): [string, string] => [
    `the coding ${JSON.stringify(coding)}`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
  ]),
  ['two lengths', plain('Content-Length: 3')],
  [
    'a coding that nobody undid',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  ],
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
]

t.test('what no HTTP can say is 502, and the next request is served', async t => {
  for (const [i, [name, says]] of unsayable.entries()) {
    said.answers.set(`/bad${i}`, says)
    t.equal(
      (await said.overHttp1(`GET /bad${i} HTTP/1.1`)).status,
      502,
      `${name}: HTTP/1.1`,
    )
    t.equal((await said.overHttp2(`/bad${i}`)).status, 502, `${name}: HTTP/2`)
    t.equal((await said.overHttp2('/fine')).status, 200, `${name}: and on`)
  }
  t.notOk(said.session.destroyed, 'all on one connection')
})

t.test(
  'a fault of our own is 500 for that request, and no end of the process',
  async t => {
    const authorizer = {
      authorize: async () =>
        ({
          outcome: 'allowed',
          user: undefined,
          get fields(): string[] {
            throw new Error('a bug')
          },
        }) as const,
    }
    const site = await defaultSite([said.backend])
    const faulty = await startProxy(t, { sites: [{ ...site, authorizer }] })
    const answer = await rawExchange(
      faulty.port,
      'GET /fine HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    )
    t.match(answer, /^HTTP\/1\.1 500 /)
    t.match(faulty.log.lines.find(({ level }) => level === 'error')?.fields, {
      error: 'Error: a bug',
    })
  },
)

t.test('a body that a 204 said it had is nobody else’s answer', async t => {
  const late = new Set<Socket>()
  const backend = await startRawBackend(t, (target, socket) => {
    if (target === '/none') {
      late.add(socket)
      socket.write(statusLine('HTTP/1.1 204 No', 'Content-Length: 40'))
    } else socket.write(late.has(socket) ? plain('X-Late: body') : plain())
  })
  const { port } = await startProxy(t, { backends: [backend.url] })
  const get = (path: string) =>
    rawExchange(port, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
  t.match(await get('/none'), /^HTTP\/1\.1 204 /)
  const answer = await get('/fine')
  t.match(answer, /^HTTP\/1\.1 200 /)
  t.notMatch(answer, /x-late/i)
})
