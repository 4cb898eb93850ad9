import { once } from 'node:events'
import { type ClientHttp2Session, connect } from 'node:http2'
import t from 'tap'
import { rawExchange } from '../fixtures/proxy-raw.ts'
import {
  defaultSite,
  startProxy,
  type Teardown,
  until,
} from '../fixtures/proxy-servers.ts'
import { startRawBackend } from '../fixtures/raw-backend.ts'

/** What the backend says, by the path that it is asked for. */
const answers = new Map<string, string>()
const backend = await startRawBackend(t, (target, socket) => {
  socket.write(Buffer.from(answers.get(target) as string, 'latin1'))
})
const { port, url, log } = await startProxy(t, { backends: [backend.url] })
const session = await http2(t)

/** One thing that a backend may say, and what its client has to hear. */
interface Case {
  readonly name: string
  readonly says: string
  readonly method?: string
  /** Default 200. */
  readonly status?: number
  /** Field lines, exactly those of their names; `undefined`: none. */
  readonly http1?: Readonly<Record<string, readonly string[] | undefined>>
  readonly http2?: Readonly<Record<string, readonly string[] | undefined>>
  /** On both. Default `ok`. */
  readonly body?: string
  readonly trailers1?: Readonly<Record<string, readonly string[] | undefined>>
  readonly trailers2?: Readonly<Record<string, readonly string[] | undefined>>
  readonly reason?: string
}

const plain = (...lines: string[]) =>
  `HTTP/1.1 200 OK\r\n${lines.map(line => `${line}\r\n`).join('')}Content-Length: 2\r\n\r\nok`
const trailing = (...lines: string[]) =>
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n' +
  `${lines.map(line => `${line}\r\n`).join('')}\r\n`
const statusLine = (line: string, ...lines: string[]) =>
  `${line}\r\n${lines.map(one => `${one}\r\n`).join('')}\r\n`

/** Where node:http2 takes one line: two that are equal, and what two that differ become. */
const single: Readonly<Record<string, readonly [string, string, both: string]>> = {
  'access-control-allow-credentials': ['true', 'false', 'true, false'],
  'access-control-max-age': ['5', '6', '5'],
  'access-control-request-method': ['GET', 'PUT', 'GET'],
  age: ['1', '2', '1'],
  authorization: ['a', 'b', 'a'],
  'content-encoding': ['gzip', 'br', 'gzip, br'],
  'content-language': ['de', 'en', 'de, en'],
  'content-location': ['/a', '/b', '/a'],
  'content-md5': ['a', 'b', 'a'],
  'content-range': ['bytes 0-1/2', 'bytes 0-1/3', 'bytes 0-1/2'],
  'content-type': ['text/a', 'text/b', 'text/a'],
  date: ['Sat, 01 Jan 2022 00:00:00 GMT', 'x', 'Sat, 01 Jan 2022 00:00:00 GMT'],
  dnt: ['1', '0', '1'],
  etag: ['"a"', '"b"', '"a"'],
  expires: ['0', '1', '0'],
  from: ['a', 'b', 'a'],
  host: ['a', 'b', 'a'],
  'if-match': ['"a"', '"b"', '"a", "b"'],
  'if-modified-since': ['a', 'b', 'a'],
  'if-none-match': ['"a"', '"b"', '"a", "b"'],
  'if-range': ['a', 'b', 'a'],
  'if-unmodified-since': ['a', 'b', 'a'],
  'last-modified': ['a', 'b', 'a'],
  location: ['/a', '/b', '/a'],
  'max-forwards': ['1', '2', '1'],
  range: ['a', 'b', 'a'],
  referer: ['a', 'b', 'a'],
  'retry-after': ['1', '2', '1'],
  tk: ['a', 'b', 'a'],
  'upgrade-insecure-requests': ['1', '2', '1'],
  'user-agent': ['a', 'b', 'a'],
  'x-content-type-options': ['nosniff', 'none', 'nosniff, none'],
}
/** Of those the ones that are too late after the body. */
const noTrailers = [
  ...['authorization', 'content-encoding', 'content-range', 'content-type', 'host'],
]

const repeated: Case[] = Object.entries(single).flatMap(([name, [one, other, both]]) => {
  const twice = [`${name}: ${one}`, `${name.toUpperCase()}: ${one}`]
  // Two codings are two, be they the same.
  const once = name === 'content-encoding' ? `${one}, ${one}` : one
  const late = noTrailers.includes(name)
  return [
    {
      name: `the same ${name} twice`,
      says: plain(...twice),
      http1: { [name]: [one, one] },
      http2: { [name]: [once] },
    },
    {
      name: `two ${name} that differ`,
      says: plain(`${name}: ${one}`, `${name}: ${other}`),
      http1: { [name]: [one, other] },
      http2: { [name]: [both] },
    },
    {
      name: `the trailer ${name} twice`,
      says: trailing(...twice),
      trailers1: { [name]: late ? undefined : [one, one] },
      trailers2: { [name]: late ? undefined : [once] },
    },
    {
      name: `two trailers ${name} that differ`,
      says: trailing(`${name}: ${one}`, `${name}: ${other}`),
      trailers1: { [name]: late ? undefined : [one, other] },
      trailers2: { [name]: late ? undefined : [both] },
    },
  ]
})

/** The same on both versions. */
const both = (fields: Readonly<Record<string, readonly string[] | undefined>>) => ({
  http1: fields,
  http2: fields,
})
const bytes = Array.from({ length: 0x80 }, (_, i) => String.fromCharCode(0x80 + i)).join(
  '',
)
const visible = Array.from({ length: 0x5f }, (_, i) =>
  String.fromCharCode(0x20 + i),
).join('')
const controls = Array.from({ length: 0x20 }, (_, i) => String.fromCharCode(i))
  .join('')
  .replace(/[\t\r\n]/g, '')
const utf8 = Buffer.from('отчёт 漏洞 é').toString('latin1')
const disposition = `attachment; filename="${utf8}"`

const others: Case[] = [
  {
    name: 'repeats that are nobody’s business',
    says: plain(
      'Set-Cookie: a=1',
      'Set-Cookie: a=1',
      'Vary: a',
      'vary: b',
      'X-A: 1',
      'x-a: 1',
    ),
    ...both({ 'set-cookie': ['a=1', 'a=1'], vary: ['a', 'b'], 'x-a': ['1', '1'] }),
  },
  {
    name: 'every byte that a value may have',
    says: plain(`X-A: a${visible.trim()}b\tc${bytes}`),
    ...both({ 'x-a': [`a${visible.trim()}b\tc${bytes}`] }),
  },
  {
    name: 'every byte that a trailer may have',
    says: trailing(`X-A: a${visible.trim()}b\tc${bytes}`),
    trailers1: { 'x-a': [`a${visible.trim()}b\tc${bytes}`] },
    trailers2: { 'x-a': [`a${visible.trim()}b\tc${bytes}`] },
  },
  {
    name: 'every sign that a name may have',
    says: plain("X!#$%&'*+-.^_`|~9: 1", '_: 2', '__proto__: 3', 'constructor: 4'),
    ...both({
      "x!#$%&'*+-.^_`|~9": ['1'],
      _: ['2'],
      ['__proto__']: ['3'],
      constructor: ['4'],
    }),
  },
  {
    name: 'blanks around values',
    says: plain('Set-Cookie: sid=1; ', 'X-A:\t a b \t ', 'X-B:', 'X-C:  \t', 'X-D:d'),
    ...both({
      'set-cookie': ['sid=1;'],
      'x-a': ['a b'],
      'x-b': [''],
      'x-c': [''],
      'x-d': ['d'],
    }),
  },
  {
    name: 'blanks around trailers',
    says: trailing('X-A: \ta b \t', 'X-B:'),
    trailers1: { 'x-a': ['a b'], 'x-b': [''] },
    trailers2: { 'x-a': ['a b'], 'x-b': [''] },
  },
  {
    name: 'control bytes in values: none is passed on',
    says: plain('X-A: a\x01b\0c\x7fd\x1f\t', 'X-B: \x0b', `X-C: ${controls}e`),
    ...both({ 'x-a': ['a b c d'], 'x-b': [''], 'x-c': ['e'] }),
  },
  {
    name: 'control bytes in trailers',
    says: trailing('X-A: a\x01b\0c\x7fd\x1f'),
    trailers1: { 'x-a': ['a b c d'] },
    trailers2: { 'x-a': ['a b c d'] },
  },
  {
    name: 'folded values',
    says: plain('X-A: a\r\n b', 'X-B:\r\n\tb', 'X-C: c'),
    ...both({ 'x-a': ['a b'], 'x-b': ['b'], 'x-c': ['c'] }),
  },
  ...[
    'Content-Length: 77\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\r\nContent-Length: 1',
  ].map(framing => ({
    name: `a length beside chunks: ${framing}`,
    says: `HTTP/1.1 200 OK\r\n${framing}\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
    ...both({ 'content-length': undefined }),
  })),
  {
    name: 'a file name in UTF-8 after the length',
    says: `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Disposition: ${disposition}\r\n\r\nok`,
    ...both({ 'content-disposition': [disposition], 'content-length': ['2'] }),
  },
  {
    name: 'a file name in UTF-8 before the length',
    says: plain(`Content-Disposition: ${disposition}`),
    ...both({ 'content-disposition': [disposition] }),
  },
  {
    name: 'a file name in UTF-8 with chunks',
    says: `HTTP/1.1 200 OK\r\nContent-Disposition: ${disposition}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
    ...both({ 'content-disposition': [disposition] }),
  },
  {
    name: 'a length with a blank behind it',
    says: 'HTTP/1.1 200 OK\r\nContent-Length: 2 \r\n\r\nok',
    ...both({ 'content-length': ['2'] }),
  },
  {
    name: 'fields of the connection, also under names that it lists',
    says: plain(
      'Connection: Keep-Alive, X-Mine, Upgrade',
      'Keep-Alive: timeout=5',
      'Proxy-Connection: keep-alive',
      'Upgrade: h2,h2c',
      'TE: gzip',
      'HTTP2-Settings: AA',
      'X-Mine: 1',
      'X-Yours: 2',
    ),
    ...both({
      'proxy-connection': undefined,
      upgrade: undefined,
      te: undefined,
      'http2-settings': undefined,
      'x-mine': undefined,
      'x-yours': ['2'],
    }),
  },
  {
    name: 'fields of the connection after the body',
    says: trailing(
      ...['Connection: x-a', 'Keep-Alive: 1', 'Upgrade: h2c', 'TE: gzip', 'Trailer: x'],
      ...['Proxy-Connection: a', 'HTTP2-Settings: a', 'X-Yours: 2'],
    ),
    trailers1: { connection: undefined, upgrade: undefined, 'x-yours': ['2'] },
    trailers2: { connection: undefined, upgrade: undefined, 'x-yours': ['2'] },
  },
  {
    name: 'a Trailer with a length',
    says: plain('Trailer: X-Sum'),
    http1: { trailer: undefined },
    http2: { trailer: ['X-Sum'] },
  },
  {
    name: 'a Trailer in the answer to HEAD',
    method: 'HEAD',
    says: statusLine('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', 'Trailer: X-Sum'),
    body: '',
  },
  {
    name: 'a length in the answer to HEAD',
    method: 'HEAD',
    says: statusLine('HTTP/1.1 200 OK', 'Content-Length: 7'),
    ...both({ 'content-length': ['7'] }),
    body: '',
  },
  {
    name: '204 with Trailer and Transfer-Encoding',
    says: statusLine('HTTP/1.1 204 No', 'Transfer-Encoding: chunked', 'Trailer: X'),
    status: 204,
    body: '',
  },
  {
    name: '204 with a length',
    says: statusLine('HTTP/1.1 204 No', 'Content-Length: 5'),
    status: 204,
    ...both({ 'content-length': undefined }),
    body: '',
  },
  {
    name: '304 with a length and a Trailer',
    says: statusLine(
      'HTTP/1.1 304 No',
      'ETag: "a"',
      'Content-Length: 1234',
      'Trailer: X',
    ),
    status: 304,
    ...both({ 'content-length': ['1234'], etag: ['"a"'] }),
    body: '',
  },
  {
    name: '304 with a coding',
    says: statusLine('HTTP/1.1 304 No', 'Transfer-Encoding: chunked'),
    status: 304,
    body: '',
  },
  {
    name: '205 without body',
    says: statusLine('HTTP/1.1 205 Reset', 'Content-Length: 0', 'X-A: 1'),
    status: 205,
    ...both({ 'x-a': ['1'] }),
    body: '',
  },
  {
    name: '205 with an empty body in chunks and a trailer',
    says: 'HTTP/1.1 205 Reset\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: 1\r\n\r\n',
    status: 205,
    body: '',
  },
  ...[226, 299, 418, 451, 499, 599].map(status => ({
    name: `status ${status}`,
    says: plain('X-A: 1').replace('200 OK', `${status} Odd`),
    status,
    ...both({ 'x-a': ['1'] }),
    reason: 'Odd',
  })),
  { name: 'no reason', says: plain().replace('200 OK', '200 '), reason: 'OK' },
  { name: 'not even a space', says: plain().replace('200 OK', '200'), reason: 'OK' },
  {
    name: 'a reason in latin1',
    says: plain().replace('OK', `b\tc ${bytes}`),
    reason: `b\tc ${bytes}`,
  },
  { name: 'a reason in UTF-8', says: plain().replace('OK', utf8), reason: utf8 },
  {
    name: 'a reason with control bytes',
    says: plain().replace('OK', 'a\x01\x0b\x7fb'),
    reason: 'ab',
  },
  {
    name: 'as many fields as fit',
    says: plain(...Array.from({ length: 5_000 }, (_, i) => `${i.toString(36)}:`)),
    ...both({ 0: [''], [(4_999).toString(36)]: [''] }),
  },
  {
    name: 'an answer of HTTP/1.0 that ends with the connection',
    says: 'HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',
  },
]

t.test('what a backend may say reaches the client', async t => {
  const cases = [...repeated, ...others]
  for (const [i, one] of cases.entries()) answers.set(`/${i}`, one.says)
  for (const [i, one] of cases.entries()) {
    const { name, method = 'GET', status = 200, body = 'ok' } = one
    const first = await overHttp1(`${method} /${i} HTTP/1.1`)
    t.equal(first.status, status, `${name}: status on HTTP/1.1`)
    t.equal(first.body, body, `${name}: body on HTTP/1.1`)
    compare(t, first.fields, one.http1, `${name}: HTTP/1.1`)
    compare(t, first.trailers, one.trailers1, `${name}: trailers on HTTP/1.1`)
    if (one.reason !== undefined) t.equal(first.reason, one.reason, `${name}: reason`)
    const second = await overHttp2(`/${i}`, method)
    t.equal(second.status, status, `${name}: status on HTTP/2`)
    t.equal(second.body, body, `${name}: body on HTTP/2`)
    compare(t, second.fields, one.http2, `${name}: HTTP/2`)
    compare(t, second.trailers, one.trailers2, `${name}: trailers on HTTP/2`)
  }
  await until(() => log.requests.length === 2 * cases.length, 'a line for each')
  t.notOk(session.destroyed, 'all on one connection')
  for (const line of log.requests) t.equal(line['error'], undefined)
})

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
  answers.set('/fine', plain())
  for (const [i, [name, says]] of unsayable.entries()) {
    answers.set(`/bad${i}`, says)
    t.equal((await overHttp1(`GET /bad${i} HTTP/1.1`)).status, 502, `${name}: HTTP/1.1`)
    t.equal((await overHttp2(`/bad${i}`)).status, 502, `${name}: HTTP/2`)
    t.equal((await overHttp2('/fine')).status, 200, `${name}: and on`)
  }
  t.notOk(session.destroyed, 'all on one connection')
})

t.test(
  'a fault of our own is 500 for that request, and no end of the process',
  async t => {
    const authorizer = {
      authorize: async () =>
        ({ outcome: 'allowed', user: undefined, fields: [] }) as const,
      get ownFields(): ReadonlySet<string> {
        throw new Error('a bug')
      },
    }
    const site = await defaultSite([backend.url])
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

interface Heard {
  readonly status: number
  readonly reason: string
  /** Name in lower case, then value. */
  readonly fields: readonly string[]
  readonly body: string
  readonly trailers: readonly string[]
}

async function http2(t: Teardown): Promise<ClientHttp2Session> {
  const opened = connect(url, {
    rejectUnauthorized: false,
    maxHeaderListPairs: 10_000,
    settings: { maxHeaderListSize: 1024 * 1024 },
  } as object)
  opened.on('error', () => {})
  t.teardown(() => opened.destroy())
  await once(opened, 'connect')
  return opened
}

async function overHttp1(requestLine: string): Promise<Heard> {
  const text = await rawExchange(
    port,
    `${requestLine}\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n`,
  )
  const end = text.indexOf('\r\n\r\n')
  const [line = '', ...lines] = text.slice(0, end).split('\r\n')
  const [, status, reason = ''] = /^HTTP\/1\.1 (\d{3}) (.*)$/s.exec(line) ?? []
  const fields = pairsOf(lines)
  let body = text.slice(end + 4)
  let trailers: string[] = []
  if (fields.includes('chunked')) {
    const last = body.indexOf('0\r\n')
    trailers = pairsOf(
      body
        .slice(last + 3)
        .split('\r\n')
        .slice(0, -2),
    )
    body = body.slice(0, last).replace(/^\w+\r\n(.*)\r\n$/s, '$1')
  }
  return { status: Number(status), reason, fields, body, trailers }
}

function pairsOf(lines: readonly string[]): string[] {
  return lines.flatMap(line => {
    const colon = line.indexOf(': ')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2)]
  })
}

async function overHttp2(path: string, method = 'GET'): Promise<Heard> {
  const stream = session.request({ ':path': path, ':method': method, te: 'trailers' })
  let fields: string[] = []
  let trailers: string[] = []
  let body = ''
  stream.on('response', (...[, , raw]: unknown[]) => {
    fields = raw as string[]
  })
  stream.on('trailers', (...[, , raw]: unknown[]) => {
    trailers = raw as string[]
  })
  stream.setEncoding('latin1').on('data', text => {
    body += text
  })
  stream.on('error', () => {})
  await once(stream, 'close', { signal: AbortSignal.timeout(10_000) })
  t.equal(stream.rstCode, 0, `${path}: a whole answer`)
  const status = Number(valuesOf(fields, ':status')[0])
  return { status, reason: '', fields, body, trailers }
}

function valuesOf(fields: readonly string[], name: string): string[] {
  return fields.filter((_, i) => i % 2 === 1 && fields[i - 1] === name)
}

interface Strict {
  strictSame(found: unknown, wanted: unknown, message: string): boolean
}

function compare(
  t: Strict,
  fields: readonly string[],
  expected: Readonly<Record<string, readonly string[] | undefined>> = {},
  name: string,
): void {
  for (const [field, values] of Object.entries(expected)) {
    t.strictSame(valuesOf(fields, field), values ?? [], `${name}: ${field}`)
  }
}
