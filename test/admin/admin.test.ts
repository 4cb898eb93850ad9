import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { hostname } from 'node:os'
import t from 'tap'
import { type Admin, createAdmin } from '../../lib/admin/admin.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { tables } from '../../lib/record/key.ts'
import { certificateDigest } from '../../lib/resumption/server/mint.ts'
import { decodeSessionRecord } from '../../lib/resumption/session/session-record.ts'
import { memoryLog } from '../fixtures/farm-stream-member.ts'
import {
  type MemberServer,
  masterKeyOf,
  memberServer,
  only,
  resume,
  spellings,
  told,
  versions,
} from '../fixtures/resumption-world.ts'
import type { TeardownScope } from '../fixtures/servers.ts'
import { type Visit, visit } from '../fixtures/tls-client.ts'

const token = 'a token of the test'
const bearer = { authorization: `Bearer ${token}` }

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

interface World extends MemberServer {
  readonly admin: Admin
  readonly log: ReturnType<typeof memoryLog>
  ask(method: string, path: string, options?: Asking): Promise<Answer>
}

interface Asking {
  readonly headers?: { [name: string]: string }
  readonly body?: string | Buffer
}

async function world(
  t: TeardownScope,
  options: { token?: string; names?: string[]; droppedLines?: () => number } = { token },
) {
  const log = memoryLog()
  const secret = generateSecret()
  const farm = { log, secret, listen: { host: '127.0.0.1', port: 0 } }
  const member = await memberServer(t, { farm })
  const admin = await createAdmin({
    farm: member.farm,
    port: 0,
    token: options.token,
    names: options.names,
    droppedLines: options.droppedLines,
    log,
  })
  t.teardown(() => admin.close())
  const ask = (method: string, path: string, { headers = {}, body }: Asking = {}) =>
    new Promise<Answer>((resolve, reject) => {
      const { port } = admin
      const asked = request({ port, host: '127.0.0.1', method, path, headers })
      asked.on('error', reject)
      asked.on('response', async response => {
        let text = ''
        for await (const chunk of response) text += chunk
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: text,
        })
      })
      asked.end(body)
    })
  return { ...member, admin, log, ask, secret } satisfies World & { secret: string }
}

const lineageOf = (visited: Visit): string => told(visited).lineage ?? ''

t.test('metrics are what Prometheus reads, with a line for each cause', async t => {
  const { ask, port } = await world(t)
  const first = await visit({ port, ...only('TLSv1.3') })
  await resume(port, first.sessions[0], only('TLSv1.3'))
  const other = { servername: 'other.test', ...only('TLSv1.3') }
  await resume(port, first.sessions[1], other)
  const { status, headers, body } = await ask('GET', '/metrics')
  t.equal(status, 200)
  t.match(headers['content-type'], /^text\/plain; version=0\.0\.4/)
  const figures = readMetrics(body)
  t.match(Object.fromEntries(figures), {
    'handfast_handshakes_total{outcome="full",detail="none-offered"}': 1,
    'handfast_handshakes_total{outcome="full",detail="policy"}': 1,
    'handfast_handshakes_total{outcome="resumed",detail="local"}': 1,
    'handfast_handshakes_total{outcome="failed",detail=""}': 0,
    'handfast_members{state="ready"}': 1,
    'handfast_table{figure="records"}': Number,
    'handfast_transport{figure="fetches"}': 0,
  })
  await resume(port, first.sessions[0], only('TLSv1.3'))
  const again = readMetrics((await ask('GET', '/metrics')).body)
  t.equal(again.get('handfast_handshakes_total{outcome="resumed",detail="local"}'), 2)
})

t.test('the status tells members and figures', async t => {
  const { ask, farm, port } = await world(t)
  await visit({ port })
  const { status, headers, body } = await ask('GET', '/status')
  t.equal(status, 200)
  t.equal(headers['content-type'], 'application/json')
  t.match(JSON.parse(body), {
    farm: 'handfast',
    members: [{ self: true, state: 'ready', address: farm.address }],
    handshakes: { full: 1, resumed: 0, failed: 0 },
    table: { records: Number, maxBytes: Number },
    transport: { published: Number },
  })
})

t.test('what is revoked here does not resume', async t => {
  const { ask, port } = await world(t)
  const revoke = (target: object) =>
    ask('POST', '/revoke', { headers: bearer, body: JSON.stringify(target) })
  for (const version of versions) {
    const minted = await Promise.all([1, 2].map(() => visit({ port, ...only(version) })))
    const [one, two] = minted as [Visit, Visit]
    const { status, body } = await revoke({ lineage: lineageOf(one), reason: 'left' })
    t.equal(status, 200)
    t.match(JSON.parse(body), { at: Number, everywhere: true })
    t.match(told(await resume(port, one.sessions[0], only(version))), {
      cause: 'revoked',
    })
    t.equal((await resume(port, two.sessions[0], only(version))).reused, true)
    t.equal((await revoke({ session: lineageOf(two) })).status, 200)
    t.match(told(await resume(port, two.sessions[0], only(version))), {
      cause: 'revoked',
    })
  }
  const digest = certificateDigest(Buffer.from('a certificate'))
  const whole = Buffer.concat([digest, Buffer.alloc(16)]).toString('hex')
  for (const target of [
    { user: 'ann', close: true },
    { serverName: 'a.test' },
    { certificate: digest.toString('hex') },
    { certificate: whole.toUpperCase().replace(/..(?=.)/g, '$&:') },
    { all: true },
  ]) {
    const { status, body } = await revoke(target)
    t.equal(status, 200, `${Object.keys(target)} ${body}`)
  }
})

t.test('what is revoked is listed, for who has the token', async t => {
  const { ask, farm } = await world(t)
  const list = (headers: { [name: string]: string } = bearer) =>
    ask('GET', '/revocations', { headers })
  t.same(JSON.parse((await list()).body), { revocations: [] })
  const body = JSON.stringify({ user: 'ann', reason: 'left' })
  await ask('POST', '/revoke', { headers: bearer, body })
  const { status, body: listed } = await list()
  t.equal(status, 200)
  t.match(JSON.parse(listed), {
    revocations: [
      { kind: 'user', name: 'ann', at: Number, until: Number, reason: 'left' },
    ],
  })
  t.same(JSON.parse(listed).revocations, farm.revocations())
  for (const headers of [{}, { authorization: token }, { authorization: 'Bearer x' }]) {
    const refused = await list(headers as { [name: string]: string })
    t.equal(refused.status, 401)
    t.notMatch(refused.body, /ann/)
  }
})

t.test('nothing is changed', async t => {
  const { ask, farm, port } = await world(t)
  const minted = await visit({ port })
  const records = farm.stats().table.records
  const body = JSON.stringify({ all: true })
  await t.test('without the token', async t => {
    const shown: { [name: string]: string }[] = [
      {},
      { authorization: '' },
      { authorization: token },
      { authorization: `Basic ${token}` },
      { authorization: `Bearer ${token} x` },
      { authorization: `Bearer ${token.slice(0, -1)}` },
      { authorization: 'Bearer undefined' },
    ]
    for (const headers of shown) {
      const { status } = await ask('POST', '/revoke', { headers, body })
      t.equal(status, 401, JSON.stringify(headers))
    }
    const none = await world(t, {})
    for (const authorization of ['Bearer undefined', 'Bearer ', '']) {
      const { status } = await none.ask('POST', '/revoke', {
        headers: { authorization },
        body,
      })
      t.equal(status, 401, 'where there is none, nobody has it')
    }
  })
  await t.test('by a body that does not say exactly what', async t => {
    const id = 'ab'.repeat(32)
    const bodies = [
      '',
      'null',
      '[]',
      '7',
      '{',
      '{}',
      '{"all":false}',
      '{"all":"true"}',
      '{"all":1}',
      '{"usr":"ann"}',
      '{"__proto__":{"all":true}}',
      '{"constructor":true}',
      '{"user":""}',
      '{"user":7}',
      `{"user":"${'x'.repeat(1025)}"}`,
      '{"user":"ann","all":true}',
      '{"user":"ann","reason":7}',
      '{"user":"ann","reason":"a\\nb"}',
      '{"user":"ann","reason":"\\u001b[2J"}',
      `{"user":"ann","reason":"${'x'.repeat(501)}"}`,
      '{"user":"ann","close":"yes"}',
      '{"serverName":["a.test"]}',
      '{"session":"xyz"}',
      `{"session":"${id.slice(2)}"}`,
      `{"session":"${id}ab"}`,
      `{"lineage":"${id}${id}"}`,
      `{"certificate":"${id.slice(0, 30)}"}`,
      `{"certificate":"${id}ab"}`,
      `{"certificate":{"length":32}}`,
      `{"user":"ann"} ${' '.repeat(5000)}`,
      'x'.repeat(300_000),
    ]
    for (const body of bodies) {
      const answer = await ask('POST', '/revoke', { headers: bearer, body })
      t.equal(answer.status, 400, body.slice(0, 40))
      t.type(JSON.parse(answer.body).error, 'string')
      t.ok(answer.body.length < 300, 'and the body is not repeated')
    }
    const binary = { headers: bearer, body: Buffer.from([0xff, 0xfe, 0x7b]) }
    t.equal((await ask('POST', '/revoke', binary)).status, 400)
  })
  await t.test('by another method or path', async t => {
    for (const [method, path] of [
      ['GET', '/revoke'],
      ['POST', '/revocations'],
      ['GET', '/revocations?all=true'],
      ['PUT', '/revoke'],
      ['DELETE', '/revoke'],
      ['POST', '/revoke/'],
      ['POST', '/revoke?all=true'],
      ['POST', '/metrics'],
      ['POST', '/status'],
      ['GET', '/'],
      ['GET', '/../status'],
      ['OPTIONS', '/status'],
    ] as const) {
      const sent = method === 'POST' || method === 'PUT' ? { body } : {}
      const { status } = await ask(method, path, { headers: bearer, ...sent })
      t.equal(status, 404, `${method} ${path}`)
    }
  })
  t.equal(farm.stats().table.records, records)
  t.equal((await resume(port, minted.sessions[0])).reused, true)
})

t.test('no answer holds what lets somebody in', async t => {
  const { ask, farm, port, secret, log } = await world(t)
  const secrets: Buffer[] = [Buffer.from(secret, 'base64url'), Buffer.from(token)]
  let text = ''
  for (const version of versions) {
    const first = await visit({ port, ...only(version) })
    const id = Buffer.from(lineageOf(first), 'hex')
    const value = farm.cache.getLocal(tables.session, id)?.value ?? Buffer.alloc(0)
    const { session = Buffer.alloc(0) } = decodeSessionRecord(value) ?? {}
    const key = masterKeyOf(session, id)
    t.ok(key.length >= 32)
    secrets.push(id, key)
    const body = JSON.stringify({ session: id.toString('hex') })
    for (const headers of [bearer, {}]) {
      text += JSON.stringify(await ask('POST', '/revoke', { headers, body }))
    }
  }
  t.match((await ask('GET', '/revocations', { headers: bearer })).body, /"session"/)
  for (const path of ['/metrics', '/status', '/revocations', '/nothing']) {
    text += JSON.stringify(await ask('GET', path, { headers: bearer }))
  }
  text += JSON.stringify(log.lines)
  for (const [n, bytes] of secrets.entries()) {
    t.same(
      spellings(bytes).filter(spelling => text.includes(spelling)),
      [],
      `secret ${n}`,
    )
  }
})

t.test('callers that go wrong harm nobody', async t => {
  const { admin, ask, farm, log } = await world(t)
  const raw = async (text: string, end: 'end' | 'resetAndDestroy' = 'end') => {
    const socket = connect({ port: admin.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(text)
    if (end === 'resetAndDestroy') await new Promise(resolve => setImmediate(resolve))
    socket[end]()
    socket.resume()
    await once(socket, 'close')
  }
  const head = `POST /revoke HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`
  await raw('nonsense\r\n\r\n')
  await raw(`${head}Content-Length: 100\r\n\r\n{"all"`, 'resetAndDestroy')
  await raw(`${head}Content-Length: 100\r\n\r\n{"all"`)
  await raw(`${head}Transfer-Encoding: chunked\r\n\r\nffffffff\r\n`)
  await raw(`GET /status HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)
  t.equal((await ask('GET', '/status')).status, 200)
  t.equal(farm.stats().table.records, 0)
  t.same(
    log.lines.filter(({ level }) => level === 'error'),
    [],
  )
})

t.test('callers that ask for nothing keep nobody out', async t => {
  const { admin, ask } = await world(t)
  const idle = Array.from({ length: 150 }, () => {
    const socket = connect({ port: admin.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    return { opened: once(socket, 'connect'), closed: once(socket, 'close') }
  })
  await Promise.all(idle.map(({ opened }) => opened))
  t.equal((await ask('GET', '/status')).status, 200)
  const body = '{"user":"ann"}'
  t.equal((await ask('POST', '/revoke', { headers: bearer, body })).status, 200)
  // Those who were there longest made room.
  await Promise.all(idle.slice(0, 50).map(({ closed }) => closed))
})

t.test('who has shown the token keeps the place', async t => {
  const { admin, ask } = await world(t)
  const kept = connect({ port: admin.port, host: '127.0.0.1' })
  t.teardown(() => kept.destroy())
  const head = `Host: localhost\r\nAuthorization: Bearer ${token}\r\n`
  kept.write(`POST /revoke HTTP/1.1\r\n${head}Content-Length: 14\r\n`)
  kept.write('Expect: 100-continue\r\n\r\n')
  await once(kept, 'data')
  for (let i = 0; i < 150; i++) {
    const socket = connect({ port: admin.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
  }
  t.equal((await ask('GET', '/status')).status, 200)
  kept.write('{"user":"ann"}')
  const [answer] = await once(kept, 'data')
  t.match(String(answer), /^HTTP\/1.1 200 /)
})

t.test('a farm that is closed says so', async t => {
  const { ask, farm } = await world(t)
  await farm.close()
  t.equal((await ask('GET', '/status')).status, 200)
  t.equal((await ask('GET', '/metrics')).status, 200)
  const body = '{"user":"ann"}'
  t.equal((await ask('POST', '/revoke', { headers: bearer, body })).status, 503)
})

t.test('it closes with callers on the line, and twice', async t => {
  const { admin } = await world(t)
  const idle = connect({ port: admin.port, host: '127.0.0.1' })
  idle.on('error', () => {})
  // In the middle of a request: by themselves such callers would stay for half a minute.
  idle.write('GET /status HTTP/1.1\r\nHost: localhost\r\n\r\nGET /status HTT')
  await once(idle, 'data')
  const closed = once(idle, 'close')
  await Promise.all([admin.close(), admin.close(), closed])
  const refused = connect({ port: admin.port, host: '127.0.0.1' })
  const [error] = await once(refused, 'error')
  t.equal(error.code, 'ECONNREFUSED')
})

t.test('a port that is taken is told', async t => {
  const { admin, farm } = await world(t)
  const { port } = admin
  await t.rejects(createAdmin({ farm, port, token, log: memoryLog() }), {
    code: 'EADDRINUSE',
  })
})

/** The text format 0.0.4, strictly: every sample belongs to a family that was announced. */
function readMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  const families = new Set<string>()
  for (const line of text.split('\n')) {
    const announced = /^# (?:HELP|TYPE) ([a-z_]+) \S/.exec(line)?.[1]
    if (announced !== undefined) families.add(announced)
    if (line === '' || line.startsWith('#')) continue
    const label = '[a-z]+="[^"\\\\\\n]*"'
    const sample = new RegExp(`^([a-z_]+)(?:\\{${label}(?:,${label})*\\})? (\\S+)$`).exec(
      line,
    )
    const [, family = '', value] = sample ?? []
    if (!families.has(family) || Number.isNaN(Number(value))) throw new Error(line)
    samples.set(line.slice(0, line.lastIndexOf(' ')), Number(value))
  }
  return samples
}

t.test('a name that is not its own reads nothing: DNS rebinding', async t => {
  const { ask, admin } = await world(t, { token, names: ['proxy1.internal'] })
  const paths = ['GET /status', 'GET /metrics', 'GET /revocations', 'POST /revoke']
  const strange = [
    'evil.example',
    `evil.example:${admin.port}`,
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'proxy1.internal.evil.example',
    'evil.example#127.0.0.1',
    '127.0.0.1@evil.example',
    '[::1].evil.example',
  ]
  for (const host of strange) {
    for (const path of paths) {
      const [method = '', url = ''] = path.split(' ')
      const answer = await ask(method, url, { headers: { ...bearer, host } })
      t.equal(answer.status, 421, `${path} of '${host}'`)
      t.notMatch(answer.body, 'members')
    }
  }
  const own = [
    '127.0.0.1',
    `127.0.0.1:${admin.port}`,
    `[::1]:${admin.port}`,
    '10.1.2.3:9443',
    'localhost',
    `LOCALHOST:${admin.port}`,
    'localhost.',
    `${hostname()}:9443`,
    'proxy1.internal:9443',
  ]
  for (const host of own) {
    t.equal((await ask('GET', '/status', { headers: { host } })).status, 200, host)
  }
})

t.test('lines that the log has lost are counted', async t => {
  const { ask } = await world(t, { token, droppedLines: () => 17 })
  const metrics = readMetrics((await ask('GET', '/metrics')).body)
  t.equal(metrics.get('handfast_log_dropped_total'), 17)
})
