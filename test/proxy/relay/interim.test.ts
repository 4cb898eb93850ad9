import { once } from 'node:events'
import { connect } from 'node:http2'
import { request as http1Request } from 'node:https'
import t from 'tap'
import { startRawBackend } from '../../fixtures/backend/raw-backend.ts'
import { patience } from '../../fixtures/patience.ts'
import {
  frameTypes,
  RawHttp2,
  rawConnection,
  rawExchange,
  statusesOf,
} from '../../fixtures/proxy/raw.ts'
import { startProxy } from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const link = '</a b.css>; rel=preload; title="a, b; c", </c.css>; rel=preconnect'

/** Interim responses of the backend before the last one, by path. */
const interim: Readonly<Record<string, readonly string[]>> = {
  '/100': ['100 Continue\r\nX-A: 1'],
  '/102': ['102 Processing\r\nX-A: 1', '102 Processing\r\nX-A: 2'],
  '/103': [`103 Early Hints\r\nLink: ${link} \r\nLink: <d>\r\nX-A: \t1 `],
  '/104': ['104 Upload Resumption Supported\r\nUpload-Draft-Interop-Version: 6'],
  '/199': ['199\r\nX-A: caf\xe9'],
  '/all': ['100 Continue', '102 Processing', '103 Early Hints\r\nLink: <a>', '199 X'],
  '/twice': ['103 E\r\nETag: "a"\r\nETag: "a"\r\nAge: 1\r\nAge: 2\r\nX-A: 1\r\nX-A: 2'],
  '/framed': [
    '103 E\r\nContent-Length: 5\r\nX-A: 1',
    '103 E\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nX-A: 2',
    '102 P\r\nConnection: X-Mine, Keep-Alive\r\nX-Mine: 1\r\nKeep-Alive: 1\r\nX-A: 3',
    '103 E\r\nUpgrade: h2c\r\nProxy-Connection: x\r\nHTTP2-Settings: AA\r\nTE: x\r\nX-A: 4',
  ],
  '/many': Array.from({ length: 200 }, (_, i) => `102 Processing\r\nX-A: ${i}`),
  '/none': [],
}
const backend = await startRawBackend(t, (target, socket) => {
  // One write for each, so that they also come apart.
  for (const one of interim[target] as string[])
    socket.write(`HTTP/1.1 ${one}\r\n\r\n`, 'latin1')
  socket.write(ok)
})
const { port, url, log } = await startProxy(t, { backends: [backend.url] })

/** What a client of HTTP/1.1 hears: one header section after the other, without the body. */
async function overHttp1(path: string): Promise<string[]> {
  const answer = await rawExchange(
    port,
    `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  )
  const sections = answer.split('\r\n\r\n')
  t.equal(sections.pop(), 'ok', `${path}: and the body`)
  return sections
}

/** The header sections that a client of HTTP/2 hears: flat, as they came. */
async function overHttp2(path: string): Promise<string[][]> {
  const session = connect(url, { rejectUnauthorized: false })
  session.on('error', () => {})
  const stream = session.request({ ':path': path })
  const sections: string[][] = []
  const add = (...[, , raw]: unknown[]) => void sections.push(raw as string[])
  stream.on('headers', add)
  stream.on('response', add)
  let body = ''
  stream.setEncoding('utf8').on('data', text => {
    body += text
  })
  await once(stream, 'close', { signal: AbortSignal.timeout(patience) })
  t.equal(stream.rstCode, 0)
  t.equal(body, 'ok', `${path}: and the body`)
  session.destroy()
  return sections
}

t.test('each interim response is passed on with its fields, in order', async t => {
  const expected: Readonly<Record<string, readonly (readonly string[])[]>> = {
    '/100': [['100', 'x-a', '1']],
    '/102': [
      ['102', 'x-a', '1'],
      ['102', 'x-a', '2'],
    ],
    '/103': [['103', 'link', link, 'link', '<d>', 'x-a', '1']],
    '/104': [['104', 'upload-draft-interop-version', '6']],
    '/199': [['199', 'x-a', 'caf\xe9']],
    '/all': [['100'], ['102'], ['103', 'link', '<a>'], ['199']],
    '/framed': [
      ['103', 'x-a', '1'],
      ['103', 'x-a', '2'],
      ['102', 'x-a', '3'],
      ['103', 'x-a', '4'],
    ],
    '/many': Array.from({ length: 200 }, (_, i) => ['102', 'x-a', String(i)]),
    '/none': [],
  }
  for (const [path, sections] of Object.entries(expected)) {
    const heard = await overHttp1(path)
    t.match(heard.pop(), /^HTTP\/1\.1 200 OK\r\n/, `${path} on HTTP/1.1: then the answer`)
    t.strictSame(heard.map(flat), sections, `${path} on HTTP/1.1`)
    const second = await overHttp2(path)
    t.equal(second.pop()?.[1], '200', `${path} on HTTP/2: then the answer`)
    t.strictSame(
      second.map(([, ...rest]) => rest),
      sections,
      `${path} on HTTP/2`,
    )
  }
  const fields = ['x-a', '1', 'x-a', '2']
  const lines = ['etag', '"a"', 'etag', '"a"', 'age', '1', 'age', '2', ...fields]
  t.strictSame(flat((await overHttp1('/twice'))[0] as string), ['103', ...lines])
  t.strictSame((await overHttp2('/twice'))[0]?.slice(1), [
    ...['103', 'etag', '"a"', 'age', '1'],
    ...fields,
  ])
})

t.test('they come at once, not with the answer', async t => {
  let finish = () => {}
  const slow = await startRawBackend(t, (_target, socket) => {
    socket.write('HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n')
    finish = () => void socket.write(ok)
  })
  const late = await startProxy(t, { backends: [slow.url] })
  const socket = await rawConnection(late.port)
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const [first] = await once(socket, 'data')
  t.equal(String(first), 'HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n')
  finish()
  const [second] = await once(socket, 'data')
  t.match(String(second), /^HTTP\/1\.1 200 OK\r\n/)
  socket.destroy()

  const session = connect(late.url, { rejectUnauthorized: false })
  const stream = session.request()
  const [hints] = await once(stream, 'headers')
  t.match(hints, { ':status': 103, link: '<a>' })
  finish()
  const [answer] = await once(stream, 'response')
  t.equal(answer[':status'], 200)
  session.destroy()
})

t.test('a client of HTTP/1.0 hears of none', async t => {
  for (const path of Object.keys(interim)) {
    const answer = await rawExchange(port, `GET ${path} HTTP/1.0\r\nHost: a\r\n\r\n`)
    t.strictSame(statusesOf(answer), [200], path)
  }
})

t.test('requests that were sent ahead hear each of their own', async t => {
  const paths = ['/102', '/none', '/103', '/all']
  const answer = await rawExchange(
    port,
    paths
      .map((path, i) => {
        const last = i === paths.length - 1 ? 'Connection: close\r\n' : ''
        return `GET ${path} HTTP/1.1\r\nHost: a\r\n${last}\r\n`
      })
      .join(''),
  )
  t.strictSame(
    statusesOf(answer.replaceAll('ok', '\r\n')),
    [102, 102, 200, 200, 103, 200, 100, 102, 103, 199, 200],
  )
})

t.test('a client that waits for 100 hears it once, and goes on', async t => {
  // It says 100 by itself too, like servers that do so for each request.
  const eager = await startRawBackend(t, (_target, socket) => {
    socket.write(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\n\r\n${ok}`)
  })
  const asked = await startProxy(t, { backends: [eager.url] })
  const head =
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n'
  for (const end of ['', 'Connection: close\r\n']) {
    const socket = await rawConnection(asked.port)
    let heard = ''
    socket.on('data', text => {
      heard += text
    })
    socket.write(`${head}${end}\r\n`)
    await until(() => heard.includes('100 Continue'), 'leave to go on')
    socket.write('hello')
    await until(() => heard.endsWith('ok'), 'the answer')
    t.strictSame(statusesOf(heard), [100, 102, 200])
    if (end === '') {
      t.match(heard, /Connection: keep-alive/, 'and the connection lives on')
      socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      await until(() => heard.split('ok').length === 3, 'the next answer')
      t.strictSame(statusesOf(heard), [100, 102, 200, 100, 102, 200])
    }
    socket.destroy()
  }

  const request = http1Request(`${asked.url}/`, {
    method: 'POST',
    rejectUnauthorized: false,
    headers: { Expect: '100-continue', 'Content-Length': 5 },
  })
  const said: number[] = []
  request.on('continue', () => request.end('hello'))
  request.on('information', info => said.push(info.statusCode))
  const [response] = await once(request, 'response')
  t.equal(response.statusCode, 200)
  t.strictSame(said, [100, 102])
  response.resume()

  const session = connect(asked.url, { rejectUnauthorized: false })
  const stream = session.request({ ':method': 'POST', expect: '100-continue' })
  let continued = 0
  stream.on('continue', () => {
    continued++
    stream.end('hello')
  })
  const [fields] = await once(stream, 'response')
  t.equal(fields[':status'], 200)
  t.equal(continued, 1)
  session.destroy()
})

t.test('a client that takes none of them holds back no more than a little', async t => {
  const most = 64 * 1024 * 1024
  const chunk = `HTTP/1.1 102 P\r\nX-A: ${'a'.repeat(8_000)}\r\n\r\n`.repeat(16)
  let sent = 0
  const chatty = await startRawBackend(t, (_target, socket) => {
    sent = 0
    const more = () => {
      if (sent >= most) {
        socket.write(ok)
        return
      }
      sent += chunk.length
      socket.write(chunk, more)
    }
    more()
  })
  const patient = await startProxy(t, { backends: [chatty.url] })
  for (const protocol of ['http/1.1', 'h2']) {
    const socket = await rawConnection(patient.port, { protocol })
    let taken = 0
    let last = ''
    let whole = () => last.endsWith('ok')
    if (protocol === 'h2') {
      const client = new RawHttp2(socket)
      client.request([
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'localhost'],
        [':path', '/'],
      ])
      whole = () => client.frames.some(({ type }) => type === frameTypes.data)
    } else socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    socket.on('data', (bytes: Buffer) => {
      taken += bytes.length
      last = bytes.subarray(-2).toString()
    })
    socket.pause()
    await until(() => sent >= most, 'all of them')
    socket.resume()
    await until(whole, 'the answer')
    t.ok(taken > 0 && taken < most / 2, `${protocol}: ${taken} bytes`)
    socket.destroy()
    sent = 0
  }
})

t.test('each request has its line, with the status of its answer', async t => {
  t.ok(log.requests.length > 30)
  for (const line of log.requests) t.match(line, { status: 200, error: undefined })
})

function flat(section: string): string[] {
  const [line = '', ...lines] = section.split('\r\n')
  return [
    line.split(' ')[1] as string,
    ...lines.flatMap(field => {
      const [name = '', ...value] = field.split(': ')
      return [name.toLowerCase(), value.join(': ')]
    }),
  ]
}
