import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import type { Server, ServerOptions } from 'node:https'
import {
  type AddressInfo,
  connect,
  createServer as createNetServer,
  type Socket,
} from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import { doctorCommand } from '../../lib/cli/commands/doctor.ts'
import { readClientSession } from '../../lib/doctor/client-session.ts'
import type { Diagnosis, Examination } from '../../lib/doctor/examination.ts'
import { parseTarget } from '../../lib/doctor/target.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import { installTicketKeys } from '../../lib/resumption/ticket/ticket-install.ts'
import { fakeIo } from '../fixtures/cli-io.ts'
import { seededRandom } from '../fixtures/random.ts'
import { certificateFor, listening, tellingServer } from '../fixtures/servers.ts'
import { recordingLog, SimulatedFarm, SimulatedTime } from '../fixtures/ticket-farm.ts'

type Diagnosed = Examination & Diagnosis

interface Ran {
  readonly code: number
  readonly text: string
}

/** Runs the command against ports of this machine, or whatever `args` names. */
async function doctor(...args: (number | string)[]): Promise<Ran> {
  const io = fakeIo(tmpdir())
  const named = args.map(arg => (typeof arg === 'number' ? `127.0.0.1:${arg}` : arg))
  const code = await doctorCommand.run(named, io)
  return { code, text: io.stdout.text }
}

async function diagnosed(...args: (number | string)[]): Promise<Diagnosed> {
  const { text } = await doctor(...args, '--json')
  return JSON.parse(text) as Diagnosed
}

/** Codes of the findings, with the kind that they are about. */
function found({ findings }: Diagnosed): string[] {
  return findings.map(({ level, code, kind }) =>
    [level, code, kind].filter(Boolean).join(' '),
  )
}

async function pair(
  t: Test,
  options: ServerOptions,
  prepare?: (server: Server, i: number) => void,
) {
  const ports: number[] = []
  for (let i = 0; i < 2; i += 1) {
    const server = await tellingServer(options)
    prepare?.(server, i)
    ports.push(await listening(t, server))
  }
  return ports as [number, number]
}

/** Two servers of one farm in stateful mode, each with its own member. */
async function attachedPair(t: Test) {
  const secret = generateSecret()
  const listen = { host: '127.0.0.1', port: 0 }
  const first = await createFarm({ secret, listen })
  t.teardown(() => first.close())
  const second = await createFarm({ secret, listen, members: [first.address ?? ''] })
  t.teardown(() => second.close())
  return await pair(t, {}, (server, i) => (i === 0 ? first : second).attach(server))
}

t.test('two bare servers: nothing resumes across', async t => {
  const [a, b] = await pair(t, {})
  const seen = await diagnosed(a, b, '--servername', 'localhost')
  t.match(found(seen), [
    /./,
    /./,
    'bad not-at-home tls12-id',
    'bad not-across tls12-ticket',
    'bad not-across tls13',
    'bad chain tls13',
  ])
  t.ok(found(seen).includes('note keys-differ'))
  t.equal(seen.version, 1)
  t.equal(seen.verdict, 'broken')
  t.same(
    seen.kinds[2]?.cells.map(({ outcome }) => outcome),
    ['resumed', 'full', 'full', 'resumed'],
  )
  t.ok(seen.addresses.every(({ http }) => http === 'HTTP/1.1 200 OK'))
  t.ok(seen.handshakes < 60, `${seen.handshakes} handshakes`)

  const { code, text } = await doctor(a, b, '--servername', 'localhost')
  t.equal(code, 1)
  t.match(text, `A  127.0.0.1:${a}  TLSv1.3, HTTP/1.1 200 OK`)
  t.match(text, /TLS 1\.3 tickets \(made on the row, offered on the column\)\n +A +B\n/)
  t.match(text, /A +yes +no\n/)
  t.match(text, /Give all servers the same ticket keys/)
})

t.test('shared ticketKeys: tickets resume, IDs do not, and tickets run out', async t => {
  const ticketKeys = randomBytes(48)
  const [a, b] = await pair(t, { ticketKeys, sessionIdContext: 'same' })
  const seen = await diagnosed(a, b)
  const codes = found(seen)
  t.ok(codes.includes('good resumes tls12-ticket'))
  t.ok(codes.includes('good resumes tls13'))
  t.ok(codes.includes('note not-at-home tls12-id'))
  t.ok(codes.includes('bad chain tls13'), 'stock Node does not renew (tls.md, 6)')
  t.ok(codes.includes('bad renewal tls13'))
  t.ok(codes.includes('good keys-shared'))
  t.equal(seen.ticketKeys.keys[0]?.name, ticketKeys.toString('hex', 0, 16))
  t.notOk(JSON.stringify(seen).includes(ticketKeys.toString('hex', 16, 32)))
  t.match(seen.chain, { steps: 20, renewed: 0 })
  t.ok((seen.chain?.resumed ?? 20) < 15)

  const only = ['--only', 'tls12-ticket'] as const
  t.equal((await doctor(a, b, ...only)).code, 0, 'a script may ask for less')
  const ids = await doctor(a, b, '--only', 'tls12-id')
  t.equal(ids.code, 1, 'or for IDs, which nothing makes up for then')
})

t.test('an attached pair passes everything', async t => {
  const [a, b] = await attachedPair(t)
  const args = [a, b, '--servername', 'localhost', '--other-name', 'other.test'] as const
  const seen = await diagnosed(...args)
  t.same(
    seen.findings.filter(({ level }) => level === 'bad'),
    [],
  )
  t.match(seen.chain, { steps: 20, resumed: 20, renewed: 20 })
  const codes = found(seen)
  for (const code of ['good resumes tls12-id', 'good resumes tls13', 'good other-name']) {
    t.ok(codes.includes(code), code)
  }
  t.ok(codes.includes('note stateful'))
  const { code, text } = await doctor(...args)
  t.equal(code, 0)
  t.match(text, /All that should resume does\./)
})

t.test('a pair with a ticket-key ring passes in tickets', async t => {
  const time = new SimulatedTime(Date.UTC(2026, 2, 1, 9))
  const log = recordingLog()
  const farm = new SimulatedFarm({ time, random: seededRandom(4), log, interval: 20_000 })
  const members = [await farm.join(), await farm.join()]
  await time.advance(60_000)
  const [a, b] = await pair(t, { sessionIdContext: 'same' }, (server, i) => {
    const ring = members[i]?.ring
    if (ring !== undefined) installTicketKeys(server, ring, log)
  })
  const { code, text } = await doctor(a, b)
  t.equal(code, 0, text)
  t.match(text, /resumed 20 of 20 times/)
  t.match(text, /seal tickets with the same key/)
  for (const { ring } of members) ring.close()
})

t.test('resuming under another name is found', async t => {
  const key = await certificateFor('localhost')
  const [a] = await pair(t, {}, server => server.addContext('other.test', key))
  const args = [a, '--servername', 'localhost', '--other-name', 'other.test'] as const
  const { code, text } = await doctor(...args, '--only', 'tls13')
  t.equal(code, 1)
  t.match(text, /made under localhost resume under other\.test \(TLS 1\.3 tickets/)
  t.match(text, /CVE-2025-23419/)
})

t.test('a server of one version only is no fault', async t => {
  const ticketKeys = randomBytes(48)
  const options = { ticketKeys, sessionIdContext: 'same' }
  const [old] = await pair(t, { ...options, maxVersion: 'TLSv1.2' })
  const seen = await diagnosed(old, '--only', 'tls12-ticket', '--only', 'tls13')
  t.equal(seen.verdict, 'ok')
  t.same(seen.kinds[1]?.unspoken, [`127.0.0.1:${old}`])
  t.equal(seen.chain, undefined)
  t.match(seen.findings.map(({ text }) => text).join(' '), /No address speaks TLS 1\.3\./)

  const [fresh] = await pair(t, { ...options, minVersion: 'TLSv1.3' })
  const mixed = await diagnosed(old, fresh)
  t.ok(found(mixed).includes('bad made-by-some tls13'))
})

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

t.test('an earlier run tells the age of a ticket key', async t => {
  const [a, b] = await pair(t, { ticketKeys: randomBytes(48), sessionIdContext: 'same' })
  const seen = await diagnosed(a, b)
  const folder = await mkdtemp(join(tmpdir(), 'doctor-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const file = join(folder, 'before.json')
  const at = new Date(Date.parse(seen.at) - 30 * 3_600_000).toISOString()
  await writeFile(file, JSON.stringify({ ...seen, at }))
  const later = await diagnosed(a, b, '--compare', file)
  t.match(found(later).join(), /bad keys-old/)
  t.match(later.findings.map(({ text }) => text).join(), /for at least 30\.0 h/)
  await writeFile(file, '{}')
  await t.rejects(doctor(a, '--compare', file), { code: 'ERR_HANDFAST_CONFIG' })
})

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

t.test('bad options are named', async t => {
  for (const [args, message] of [
    [[], /give an address/],
    [['a b'], /expected HOST or HOST:PORT/],
    [['h:0'], /expected HOST/],
    [['h:99999'], /expected HOST/],
    [['[1.2.3.4]:1'], /expected HOST/],
    [['h', '--timeout', '0'], /--timeout/],
    [['h', '--timeout', 'x'], /--timeout/],
    [['h', '--chain', '201'], /--chain/],
    [['h', '--only', 'tls11'], /--only/],
    [['h', '--servername', 'a b'], /--servername/],
    [['h', '--ca', '/nowhere/at/all'], /--ca: can not read/],
    [['h', '--what'], /unknown option/],
    [Array.from({ length: 9 }, (_, i) => `h${i}`), /at most 8/],
  ] as [string[], RegExp][]) {
    await t.rejects(
      doctor(...args),
      { code: 'ERR_HANDFAST_CONFIG', message },
      args.join(' '),
    )
  }
  t.same(parseTarget('[::1]'), { host: '::1', port: 443, label: '[::1]:443' })
  t.same(parseTarget('shop.test'), {
    host: 'shop.test',
    port: 443,
    label: 'shop.test:443',
  })
})

t.test('a name may stand for each of its addresses', async t => {
  const [a] = await pair(t, {})
  const args = ['--each-ip', '--only', 'tls13', '--chain', '0'] as const
  const seen = await diagnosed(`localhost:${a}`, ...args)
  t.equal(seen.serverName, 'localhost')
  t.ok(seen.addresses.some(({ address }) => address === `127.0.0.1:${a}`))
})

t.test('bytes that are no session are none', async t => {
  const random = seededRandom(9)
  const der = Buffer.from('3011020101020203040402130204020a0b0400', 'hex')
  t.match(readClientSession(der), { id: Buffer.from('0a0b', 'hex') })
  const inEnvelope = Buffer.concat([
    Buffer.from('\0nodejs:tls:session:1\0\0\x04name', 'latin1'),
    der,
  ])
  t.same(readClientSession(inEnvelope)?.der, der)
  for (let i = 0; i < 5_000; i += 1) {
    const bytes = Buffer.from(random() < 0.5 ? der : inEnvelope)
    for (let flips = 0; flips < 3; flips += 1) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    }
    readClientSession(bytes.subarray(0, Math.floor(random() * (bytes.length + 1))))
  }
  t.equal(readClientSession(Buffer.alloc(0)), undefined)
})

interface Listenable {
  listen(port: number, host: string): unknown
  address(): AddressInfo | string | null
  close(): unknown
  on(event: 'connection', listener: (socket: Socket) => void): unknown
}

/** Listens on a free port; all its connections end with the test. */
async function opened(t: Test, server: Listenable): Promise<number> {
  const open = new Set<Socket>()
  server.on('connection', socket => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server as never, 'listening')
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

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
