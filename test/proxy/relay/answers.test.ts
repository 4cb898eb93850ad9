import t from 'tap'
import {
  type Case,
  plain,
  Said,
  statusLine,
  trailing,
} from '../../fixtures/proxy/answers.ts'

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

const cases: Case[] = [
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
  await (await Said.start(t)).hear(t, cases)
})
