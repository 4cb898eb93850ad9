import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { hidden, startEcho } from '../../fixtures/backend/echo-backend.ts'
import { rawConnection, rawExchange, statusesOf } from '../../fixtures/proxy/raw.ts'
import { startProxy } from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

const backend = await startEcho(t)
const { port, log } = await startProxy(t, {
  backends: [backend.url],
  limits: { headersTimeout: 5_000 },
})

const post = 'POST / HTTP/1.1\r\nHost: localhost\r\n'
const get = 'GET / HTTP/1.1\r\nHost: localhost\r\n'
const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`

const refused: readonly [name: string, bytes: string, status: number][] = [
  [
    'Content-Length then Transfer-Encoding (CL.TE)',
    `${post}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    400,
  ],
  [
    'Transfer-Encoding then Content-Length (TE.CL)',
    `${post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    400,
  ],
  [
    'an empty Transfer-Encoding beside a Content-Length',
    `${post}Transfer-Encoding: \r\nContent-Length: 0\r\n\r\n${hidden}`,
    400,
  ],
  [
    'two equal lengths',
    `${post}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`,
    400,
  ],
  ['two lengths', `${post}Content-Length: 0\r\nContent-Length: 44\r\n\r\n${hidden}`, 400],
  ['a list of lengths', `${post}Content-Length: 5, 5\r\n\r\nhello`, 400],
  ['a signed length', `${post}Content-Length: +5\r\n\r\nhello`, 400],
  ['a negative length', `${post}Content-Length: -5\r\n\r\nhello`, 400],
  ['a hexadecimal length', `${post}Content-Length: 0x5\r\n\r\nhello`, 400],
  ['an empty length', `${post}Content-Length: \r\n\r\n${hidden}`, 400],
  ['a length with a space inside', `${post}Content-Length: 5 0\r\n\r\nhello`, 400],
  [
    'a length of 2^64 + 5',
    `${post}Content-Length: 18446744073709551621\r\n\r\nhello`,
    400,
  ],
  ['a length beyond 2^53', `${post}Content-Length: 9007199254740993\r\n\r\nhello`, 400],
  ['an unknown coding', `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 501],
  [
    'a coding after chunked',
    `${post}Transfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n`,
    400,
  ],
  [
    'a coding before chunked',
    `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    501,
  ],
  [
    'chunked twice',
    `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['a quoted coding', `${post}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`, 501],
  [
    'a coding after a vertical tab',
    `${post}Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  [
    'a coding in HTTP/1.0',
    `POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  [
    'a space before the colon',
    `${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['a space in a name', `${get}X Y: a\r\n\r\n`, 400],
  ['an empty name', `${get}: a\r\n\r\n`, 400],
  ['a line without colon', `${get}foo\r\n\r\n`, 400],
  ['obs-fold', `${get}X-Y: a\r\n b\r\n\r\n`, 400],
  ['obs-fold with a tab', `${get}X-Y: a\r\n\tb\r\n\r\n`, 400],
  ['a folded coding', `${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`, 400],
  ['a folded length', `${post}Content-Length:\r\n 5\r\n\r\nhello`, 400],
  ['a first line that is folded', 'GET / HTTP/1.1\r\n Host: localhost\r\n\r\n', 400],
  ['bare LF throughout', 'GET / HTTP/1.1\nHost: localhost\n\n', 400],
  ['bare LF after a field', `${get}X-Y: a\nTransfer-Encoding: chunked\r\n\r\n`, 400],
  ['bare LF at the end of the section', `${get}X-Y: a\r\n\n${hidden}`, 400],
  ['bare CR inside a value', `${get}X-Y: a\rTransfer-Encoding: chunked\r\n\r\n`, 400],
  ['bare CR between fields', `GET / HTTP/1.1\r\nHost: localhost\rX-Y: a\r\n\r\n`, 400],
  ['CR CR LF', `${get}X-Y: a\r\r\n\r\n`, 400],
  ['NUL in a value', `${get}X-Y: a\0b\r\n\r\n`, 400],
  ['a control byte in a value', `${get}X-Y: a\x01b\r\n\r\n`, 400],
  ['a chunk size that is no number', `${chunked}zz\r\nhello\r\n0\r\n\r\n`, 400],
  ['a negative chunk size', `${chunked}-5\r\nhello\r\n0\r\n\r\n`, 400],
  ['a chunk size with 0x', `${chunked}0x5\r\nhello\r\n0\r\n\r\n`, 400],
  ['a chunk size of 2^64 + 5', `${chunked}10000000000000005\r\nhello\r\n0\r\n\r\n`, 400],
  ['an empty chunk size', `${chunked}\r\nhello\r\n0\r\n\r\n`, 400],
  ['a space after the chunk size', `${chunked}5 \r\nhello\r\n0\r\n\r\n`, 400],
  ['a space before the chunk size', `${chunked} 5\r\nhello\r\n0\r\n\r\n`, 400],
  ['bare LF after the chunk size', `${chunked}5\nhello\r\n0\r\n\r\n`, 400],
  ['bare LF in a chunk extension', `${chunked}5;a\nb\r\nhello\r\n0\r\n\r\n`, 400],
  ['bare LF after chunk data', `${chunked}5\r\nhello\n0\r\n\r\n`, 400],
  ['a chunk longer than its size', `${chunked}5\r\nhelloXX\r\n0\r\n\r\n`, 400],
  ['bare LF at the end of the chunks', `${chunked}5\r\nhello\r\n0\n\n${hidden}`, 400],
  [
    'a length in the trailers',
    `${chunked}5\r\nhello\r\n0\r\nContent-Length: 44\r\n\r\n${hidden}`,
    400,
  ],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['two Hosts', `${get}Host: other\r\n\r\n`, 400],
  ['a Host with a path', 'GET / HTTP/1.1\r\nHost: localhost/x\r\n\r\n', 400],
  ['a Host with user information', 'GET / HTTP/1.1\r\nHost: a@localhost\r\n\r\n', 400],
  ['a Host with a space', 'GET / HTTP/1.1\r\nHost: local host\r\n\r\n', 400],
  ['a Host with a bad port', 'GET / HTTP/1.1\r\nHost: localhost:99999\r\n\r\n', 400],
  [
    'a target that names another host',
    `GET http://other/ HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    400,
  ],
  [
    'a target with user information',
    `GET http://a@b/ HTTP/1.1\r\nHost: a@b\r\n\r\n`,
    400,
  ],
  ['a target with a fragment', 'GET /a#b HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
  ['a target without slash', 'GET foo HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
  ['a tab in the target', 'GET /a\tb HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
  ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
  ['HTTP/0.9', 'GET /\r\n\r\n', 505],
  ['HTTP/2.0 in a request line', 'GET / HTTP/2.0\r\nHost: localhost\r\n\r\n', 505],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: localhost\r\n\r\n', 400],
  ['a method in lower case', 'get / HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
  ['TRACE', 'TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n', 405],
  ['CONNECT', `CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n`, 405],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  [
    'a Connection that lists Content-Length',
    `${post}Connection: Content-Length\r\nContent-Length: 44\r\n\r\n${hidden}`,
    400,
  ],
  ['a Connection that lists Host', `${get}Connection: close, host\r\n\r\n`, 400],
  ['an unknown expectation', `${post}Expect: magic\r\nContent-Length: 0\r\n\r\n`, 417],
]

t.test('refused over HTTP/1.1, and no backend hears of the rest', async t => {
  for (const [name, bytes, status] of refused) {
    const before = backend.requests.length
    const answer = await rawExchange(port, bytes)
    t.match(statusesOf(answer), [status], `${name}: ${status}`)
    t.equal(statusesOf(answer).length, 1, `${name}: one answer`)
    t.match(answer, /^Content-Length: \d+\r\n/im, `${name}: not a silent close`)
    const seen = backend.requests.slice(before)
    t.notOk(
      seen.some(request => request.url === '/hidden'),
      `${name}: nothing smuggled`,
    )
    // A body is passed on while it comes: the backend may have heard of a request whose
    // chunks turned out bad, but it never saw it complete.
    t.notOk(
      seen.some(request => request.complete && request.method !== 'GET'),
      `${name}: no whole request`,
    )
  }
})

const passed: readonly [name: string, bytes: string, seen: string][] = [
  ['a plain body', `${post}Content-Length: 5\r\n\r\nhello`, 'POST / [hello]'],
  ['chunks', `${chunked}5;ext=1\r\nhello\r\n0\r\n\r\n`, 'POST / [hello]'],
  [
    'chunks with trailers',
    `${chunked}5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n`,
    'POST / [hello]',
  ],
  [
    'a coding in capitals',
    `${post}Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n`,
    'POST / []',
  ],
  [
    'an absolute target',
    'GET http://localhost/a?b HTTP/1.1\r\nHost: LOCALHOST\r\n\r\n',
    'GET /a?b []',
  ],
  [
    'an absolute target without path',
    'GET http://localhost?b HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET /?b []',
  ],
  [
    'a target of two slashes',
    'GET //other/x HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET //other/x []',
  ],
  [
    'an upgrade to something else',
    `${get}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`,
    'GET / []',
  ],
  ...['websocket', 'h2c', 'TLS/1.0, HTTP/1.1', 'h2c, websocket'].flatMap(
    (protocol): [string, string, string][] => {
      const upgrade = `Connection: upgrade\r\nUpgrade: ${protocol}\r\n`
      return [
        [
          `a body with a length beside an upgrade to ${protocol}`,
          `${get}${upgrade}Content-Length: ${hidden.length}\r\n\r\n${hidden}`,
          `GET / [${hidden}]`,
        ],
        [
          `a body in chunks beside an upgrade to ${protocol}`,
          `${post}${upgrade}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
          'POST / [hello]',
        ],
        [
          `a body in HTTP/1.0 beside an upgrade to ${protocol}`,
          `POST / HTTP/1.0\r\nHost: localhost\r\n${upgrade}Content-Length: 5\r\n\r\nhello`,
          'POST / [hello]',
        ],
        [
          `a length of 0 beside an upgrade to ${protocol}`,
          `${post}${upgrade}Content-Length: 0\r\n\r\n`,
          'POST / []',
        ],
      ]
    },
  ),
  [
    'an upgrade that Connection does not list',
    `${post}Upgrade: websocket\r\nContent-Length: 5\r\n\r\nhello`,
    'POST / [hello]',
  ],
]

t.test('passed on over HTTP/1.1, with one reading', async t => {
  for (const [name, bytes, seen] of passed) {
    const answer = await rawExchange(
      port,
      bytes.replace('Host:', 'Connection: close\r\nHost:'),
    )
    t.match(statusesOf(answer), [200], name)
    t.ok(answer.includes(seen), `${name}: ${seen}`)
  }
  const last = backend.requests.at(-1)
  t.notOk(last?.headers.upgrade, 'no h2c to the backend')
})

t.test('nothing is read behind an upgrade with a body', async t => {
  const upgrade = `${post}Connection: upgrade\r\nUpgrade: websocket\r\n`
  for (const body of [
    'Content-Length: 5\r\n\r\nhello',
    'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  ]) {
    for (const next of [hidden, upgrade + body, hidden.slice(5), 'x']) {
      const before = backend.requests.length
      const answer = await rawExchange(port, `${upgrade}${body}${next}`)
      t.strictSame(statusesOf(answer), [200], body)
      t.match(answer, /^Connection: close\r\n.*POST \/ \[hello\]/ims)
      t.equal(backend.requests.length - before, 1, 'and no other')
    }
  }
  const socket = await rawConnection(port)
  let answer = ''
  socket.setEncoding('latin1').on('data', text => {
    answer += text
  })
  socket.write(`${upgrade}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`)
  await until(() => answer.includes('100 Continue'), 'leave to go on')
  socket.write('hel')
  socket.write(`lo${hidden}`)
  await until(() => socket.destroyed, 'the end')
  t.strictSame(statusesOf(answer), [100, 200])
  t.ok(answer.endsWith('POST / [hello]'))
  t.notOk(backend.requests.some(({ url }) => url === '/hidden'))
})

t.test('underscores do not stand in for hyphens', async t => {
  const answer = await rawExchange(
    port,
    `${get}Content_Length: 44\r\nTransfer_Encoding: chunked\r\nX_Forwarded_For: 1.2.3.4\r\n` +
      'Client_Cert: :AA==:\r\nmy_own: kept\r\nConnection: close\r\n\r\n',
  )
  t.match(statusesOf(answer), [200])
  const { headers } = backend.requests.at(-1) as IncomingMessage
  t.equal(headers['my_own'], 'kept')
  for (const name of [
    'content_length',
    'transfer_encoding',
    'x_forwarded_for',
    'client_cert',
  ]) {
    t.notOk(name in headers, `${name} is gone`)
  }
})

t.test('a bad request behind a good one waits for its turn to be told', async t => {
  const answer = await rawExchange(
    port,
    `${get}\r\nGET /x HTTP/1.1\r\nBad Header: 1\r\n\r\n`,
  )
  t.strictSame(statusesOf(answer), [200, 400])
  t.ok(answer.indexOf('GET / []') < answer.indexOf('400 Bad Request'))
})

t.test('every refusal has its line in the log, with the phase', async t => {
  const checked = log.requests.filter(line => line['phase'] === 'check')
  t.ok(checked.length > 20)
  for (const line of checked) t.ok(Number(line['status']) >= 400)
  const unread = log.requests.filter(line => line['error'] === 'HPE_INVALID_CHUNK_SIZE')
  t.match(unread[0], { status: 400, client: '127.0.0.1' })
})
