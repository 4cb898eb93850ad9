import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import {
  type AddressInfo,
  connect,
  createServer as createNetServer,
  type Socket,
} from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import t from 'tap'
import { diagnosed, doctor, found, opened, pair } from '../fixtures/cli/doctor-run.ts'
import { certificateFor } from '../fixtures/tls/servers.ts'

t.test('a server without HTTP is examined as well', async t => {
  const pems = await certificateFor('localhost')
  const mute = createTlsServer(pems, socket => socket.on('error', () => {}))
  const port = await opened(t, mute)
  const seen = await diagnosed(port, '--only', 'tls13', '--chain', '1')
  t.ok(found(seen).includes('good resumes tls13'))
  t.ok(found(seen).includes('note no-http'))
  t.ok(found(seen).includes('note one-address'))
})

t.test('what a server says can not write on the terminal', async t => {
  const pems = await certificateFor('localhost')
  const painter = createTlsServer(pems, socket => {
    socket.on('error', () => {})
    socket.end('HTTP/1.1 200 fine\x1b[2J\r\n\r\n')
  })
  const port = await opened(t, painter)
  const { text } = await doctor(port, '--only', 'tls13', '--chain', '0')
  t.match(text, /HTTP\/1\.1 200 fine/)
  t.notOk(text.includes('\x1b'))
})

t.test('addresses that can not be examined end with 3, in time', async t => {
  const dead = await closedPort()
  const plain = await opened(
    t,
    createHttpServer((_, response) => response.end('hello')),
  )
  const banner = await opened(
    t,
    createNetServer(socket => {
      socket.on('error', () => {})
      socket.end('220 hello\x1b[31m there\r\n')
    }),
  )
  const hole = await opened(
    t,
    createNetServer(socket => socket.on('error', () => {})),
  )
  const broken = await opened(
    t,
    createNetServer(socket => {
      socket.on('error', () => {})
      socket.once('data', () => socket.destroy())
    }),
  )
  const [good] = await pair(t, {})
  const all = [dead, plain, banner, hole, broken]
  const seen = await diagnosed(...all, good, '--timeout', '400ms')
  t.same(
    seen.addresses.map(({ failure }) => failure),
    ['unreachable', 'not-tls', 'not-tls', 'timeout', 'handshake', undefined],
  )
  t.equal(seen.verdict, 'unreachable')
  t.ok(found(seen).includes('note one-address'))
  const { code, text } = await doctor(dead, hole, '--timeout', '200')
  t.equal(code, 3)
  t.match(text, /can not be reached \(ECONNREFUSED\)/)
  t.match(text, /did not answer in time/)
  t.notOk(text.includes('\x1b'))
})

t.test(
  'a server that dies in the middle costs a few time limits, not hundreds',
  async t => {
    const [good] = await pair(t, {})
    let connections = 0
    const flaky = await opened(
      t,
      createNetServer(client => {
        client.on('error', () => {})
        connections += 1
        if (connections > 3) return
        forward(client, good)
      }),
    )
    const seen = await diagnosed(flaky, good, '--timeout', '200', '--chain', '4')
    t.ok(connections <= 3 + 3, `${connections} connections`)
    t.equal(seen.verdict, 'broken')
    t.ok(found(seen).includes('bad breaks tls12-ticket'))
  },
)

t.test('a certificate that is not trusted is said', async t => {
  const [a] = await pair(t, {})
  const args = [
    a,
    '--servername',
    'localhost',
    '--only',
    'tls13',
    '--chain',
    '0',
  ] as const
  t.match((await doctor(...args)).text, /not trusted: DEPTH_ZERO_SELF_SIGNED_CERT/)
  const folder = await mkdtemp(join(tmpdir(), 'doctor-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const file = join(folder, 'ca.pem')
  await writeFile(file, (await certificateFor('localhost')).cert)
  t.notMatch((await doctor(...args, '--ca', file)).text, /not trusted/)
})

t.test('servers that demand a client certificate are examined with one', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'doctor-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const { key, cert } = await certificateFor('localhost')
  await writeFile(join(folder, 'key.pem'), key)
  await writeFile(join(folder, 'cert.pem'), cert)
  const ticketKeys = randomBytes(48)
  const strict = { requestCert: true, rejectUnauthorized: true, ca: cert }
  const [a, b] = await pair(t, { ...strict, ticketKeys, sessionIdContext: 'same' })
  const without = await doctor(a, b)
  t.equal(without.code, 3)
  t.match(without.text, /broke off the TLS handshake \(ERR_SSL_.*CERTIFICATE_REQUIRED\)/)
  const files = ['--cert', join(folder, 'cert.pem'), '--key', join(folder, 'key.pem')]
  const seen = await diagnosed(a, b, ...files)
  t.ok(found(seen).includes('good resumes tls13'))
  await t.rejects(doctor(a, '--cert', 'x'), { message: /--cert and --key go together/ })
})

t.test('a name may stand for each of its addresses', async t => {
  const [a] = await pair(t, {})
  const args = ['--each-ip', '--only', 'tls13', '--chain', '0'] as const
  const seen = await diagnosed(`localhost:${a}`, ...args)
  t.equal(seen.serverName, 'localhost')
  t.ok(seen.addresses.some(({ address }) => address === `127.0.0.1:${a}`))
})

async function closedPort(): Promise<number> {
  const server = createNetServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function forward(client: Socket, port: number): void {
  const server = connect(port, '127.0.0.1')
  server.on('error', () => client.destroy())
  client.on('close', () => server.destroy())
  server.pipe(client).pipe(server)
}
