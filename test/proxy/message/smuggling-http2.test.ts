import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { hidden, startEcho } from '../../fixtures/backend/echo-backend.ts'
import { RawHttp2, rawConnection } from '../../fixtures/proxy/raw.ts'
import { startProxy } from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

const backend = await startEcho(t)
const { port, log } = await startProxy(t, {
  backends: [backend.url],
  limits: { headersTimeout: 5_000 },
})

const pseudo: readonly [string, string][] = [
  [':method', 'POST'],
  [':scheme', 'https'],
  [':authority', 'localhost'],
  [':path', '/'],
]
const without = (name: string) => pseudo.filter(field => field[0] !== name)
const replaced = (name: string, value: string): [string, string][] => [
  ...without(name),
  [name, value],
]

const refusedOnHttp2: readonly [
  name: string,
  fields: [string, string][],
  body?: string,
][] = [
  ['a name in capitals', [...pseudo, ['X-Y', 'a']]],
  [
    'Transfer-Encoding (H2.TE)',
    [...pseudo, ['transfer-encoding', 'chunked']],
    '0\r\n\r\n',
  ],
  ['Connection', [...pseudo, ['connection', 'x-y']]],
  ['Upgrade', [...pseudo, ['upgrade', 'websocket']]],
  ['TE other than trailers', [...pseudo, ['te', 'gzip']]],
  ['a length below the body (H2.CL)', [...pseudo, ['content-length', '0']], hidden],
  ['a length above the body', [...pseudo, ['content-length', '99']], 'hello'],
  ['a length without body', [...pseudo, ['content-length', '5']]],
  ['two lengths', [...pseudo, ['content-length', '5'], ['content-length', '5']], 'hello'],
  ['a length that is no number', [...pseudo, ['content-length', '5x']], 'hello'],
  ['no :path', without(':path') as [string, string][]],
  ['an empty :path', replaced(':path', '')],
  ['two :path', [...pseudo, [':path', '/b']]],
  ['a :path with a space', replaced(':path', '/ HTTP/1.1\r\nHost: x')],
  ['a :path without slash', replaced(':path', 'x')],
  ['a :path with a fragment', replaced(':path', '/a#b')],
  ['an absolute :path', replaced(':path', 'http://other/')],
  ['no :method', without(':method') as [string, string][]],
  [
    'a :method with a request line in it',
    replaced(':method', 'GET /hidden HTTP/1.1\r\nX: '),
  ],
  [':scheme http', replaced(':scheme', 'http')],
  ['a :scheme with a URL in it', replaced(':scheme', 'http://other/?')],
  ['a pseudo-field after a field', [['x-y', 'a'], ...pseudo]],
  ['an unknown pseudo-field', [...pseudo, [':other', 'a']]],
  [':status in a request', [...pseudo, [':status', '200']]],
  ['Host unlike :authority', [...pseudo, ['host', 'other']]],
  ['two Hosts', [...without(':authority'), ['host', 'localhost'], ['host', 'other']]],
  [':authority with user information', replaced(':authority', 'a@localhost')],
  [':authority with a path', replaced(':authority', 'localhost/x')],
  [
    'CONNECT',
    [
      [':method', 'CONNECT'],
      [':authority', 'localhost:22'],
    ],
  ],
  [
    'extended CONNECT to something else',
    [...replaced(':method', 'CONNECT'), [':protocol', 'connect-udp']],
  ],
]

t.test('refused over HTTP/2, and no backend sees a whole request', async t => {
  for (const [name, fields, body] of refusedOnHttp2) {
    const before = backend.requests.length
    const client = new RawHttp2(await rawConnection(port, { protocol: 'h2' }))
    // Pseudo-fields first, unless it is the point of the case that they are not.
    const ordered = name.startsWith('a pseudo')
      ? fields
      : [...fields].sort((a, b) => Number(b[0][0] === ':') - Number(a[0][0] === ':'))
    client.request(ordered, body)
    await until(() => client.verdict !== undefined, name)
    t.match(
      client.verdict,
      /^(400|other|reset|goaway|closed)$/,
      `${name}: ${client.verdict}`,
    )
    client.socket.destroy()
    await until(() => backend.requests.slice(before).every(request => request.destroyed))
    t.notOk(
      backend.requests.slice(before).some(request => request.complete),
      `${name}: nothing whole`,
    )
  }
})

t.test('a length of 0 is not believed before the stream has ended', async t => {
  const [before, lines] = [backend.requests.length, log.requests.length]
  const client = new RawHttp2(await rawConnection(port, { protocol: 'h2' }))
  client.request([...pseudo, ['content-length', '0']], '', false)
  client.cancel()
  // A line of the cases above may come late.
  const since = () => log.requests.slice(lines)
  await until(() => since().some(({ status }) => status === 499), 'its line in the log')
  t.notOk(backend.requests.slice(before).some(request => request.complete))
  client.socket.destroy()
})

const droppedOnHttp2: readonly [name: string, fields: [string, string][]][] = [
  ['CR LF in a value', [...pseudo, ['x-y', 'a\r\nTransfer-Encoding: chunked']]],
  ['LF in a value', [...pseudo, ['x-y', 'a\nb: c']]],
  ['NUL in a value', [...pseudo, ['x-y', 'a\0b']]],
  ['CR LF in a name', [...pseudo, ['x-y: a\r\nb', 'c']]],
  ['a colon in a name', [...pseudo, ['x:y', 'a']]],
  ['a space in a name', [...pseudo, ['x y', 'a']]],
]

t.test('a field that HTTP/1.1 could not say is dropped whole, over HTTP/2', async t => {
  for (const [name, fields] of droppedOnHttp2) {
    const client = new RawHttp2(await rawConnection(port, { protocol: 'h2' }))
    client.request(fields)
    await until(() => client.verdict !== undefined, name)
    client.socket.destroy()
    const seen = backend.requests.at(-1) as IncomingMessage
    t.equal(client.verdict, '200', name)
    t.equal(seen.method, 'POST', name)
    t.notMatch(seen.rawHeaders.join('|'), /x.y|chunked|\|b\|/i, name)
  }
})

t.test(
  'cookies that HTTP/2 split arrive as one, and a body without length in chunks',
  async t => {
    const client = new RawHttp2(await rawConnection(port, { protocol: 'h2' }))
    client.request(
      [...pseudo, ['cookie', 'a=1'], ['cookie', 'b=2'], ['te', 'trailers']],
      'hello',
    )
    await until(() => client.verdict !== undefined)
    client.socket.destroy()
    t.equal(client.verdict, '200')
    const { headers } = backend.requests.at(-1) as IncomingMessage
    t.equal(headers.cookie, 'a=1; b=2')
    t.equal(headers['te'], 'trailers')
    t.equal(headers.host, 'localhost')
  },
)

t.test('a refusal over HTTP/2 has its line in the log, with the phase', async t => {
  const checked = log.requests.filter(line => line['phase'] === 'check')
  t.ok(checked.length > 3)
  for (const line of checked) t.ok(Number(line['status']) >= 400)
})
