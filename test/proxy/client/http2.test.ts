import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:http2'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import type { Authorizer } from '../../../lib/proxy/options.ts'
import {
  flags,
  frame,
  frameTypes,
  headersFrame,
  pseudoFields,
  RawHttp2,
  rawConnection,
} from '../../fixtures/proxy/raw.ts'
import { defaultSite, startBackend, startProxy } from '../../fixtures/proxy/servers.ts'
import { authority, p256 } from '../../fixtures/tls/certificates.ts'
import { until } from '../../fixtures/until.ts'

const held: (() => void)[] = []
const backend = await startBackend(t, (request, response) => {
  if (request.url === '/early') {
    response.writeHead(413, { 'content-length': 3 }).end('big')
    return
  }
  if (request.url === '/held') {
    held.push(() => response.end('late'))
    return
  }
  let length = 0
  request.on('data', (chunk: Buffer) => {
    length += chunk.length
  })
  request.on('end', () => response.end(`${request.method} ${length}`))
})
const backends = [backend.url]
const slowAuthorizer: Authorizer = {
  async authorize() {
    await nextTurn()
    return { outcome: 'allowed', user: 'ann', fields: [] }
  },
}
const open = async (port: number, serverName?: string) =>
  new RawHttp2(
    await rawConnection(port, { protocol: 'h2', serverName: serverName ?? 'localhost' }),
  )

/** The ways to say that a body is empty: what comes after HEADERS. */
const ends: readonly [name: string, after: (stream: number) => Buffer[]][] = [
  ['END_STREAM on HEADERS', () => []],
  ['an empty DATA frame', id => [frame(frameTypes.data, flags.endStream, id, '')]],
  [
    'two empty DATA frames',
    id => [
      frame(frameTypes.data, 0, id, ''),
      frame(frameTypes.data, flags.endStream, id, ''),
    ],
  ],
  [
    'a DATA frame of padding',
    id => [
      frame(frameTypes.data, flags.endStream | flags.padded, id, Buffer.from([2, 0, 0])),
    ],
  ],
  ['trailers', id => [headersFrame(id, [['x-t', '1']], true)]],
]

/** Stream identifiers only grow, so that each method has its turn. */
let turn = 0
const methods = ['POST', 'GET', 'PUT', 'DELETE', 'OPTIONS']

t.test('a request with an empty body reaches the backend, however it ends', async t => {
  const site = await defaultSite(backends)
  for (const authorizer of [undefined, slowAuthorizer]) {
    const { port } = await startProxy(t, { sites: [{ ...site, authorizer }] })
    for (const [name, after] of ends) {
      for (const inOneRead of [true, false]) {
        // One of each alone, and twenty at once.
        for (const count of [1, 1, 1, 1, 20]) {
          const client = await open(port)
          const requests = Array.from({ length: count }, () => 2 * turn++ + 1)
          const heads = requests.map(id => emptyRequest(id, after(id).length === 0))
          if (inOneRead)
            client.send(
              ...requests.flatMap((id, i) => [heads[i] as Buffer, ...after(id)]),
            )
          else {
            client.send(...heads)
            await nextTurn()
            client.send(...requests.flatMap(after))
          }
          const answered = () =>
            requests.every(id => client.bodyOn(id) === `${methodOf(id)} 0`)
          await until(answered, `${name}, ${count} in ${inOneRead ? 'one read' : 'two'}`)
          client.socket.destroy()
        }
      }
    }
  }
  t.equal(backend.requests.length, turn)
})

function methodOf(stream: number): string {
  return methods[((stream - 1) / 2) % methods.length] as string
}

/** Every other says its length too. */
function emptyRequest(stream: number, whole: boolean): Buffer {
  const length: [string, string][] = stream % 4 === 1 ? [['content-length', '0']] : []
  return headersFrame(stream, [...pseudoFields(methodOf(stream), '/'), ...length], whole)
}

t.test('curl posts nothing', async t => {
  const { url } = await startProxy(t, { backends })
  for (const method of ['POST', 'PUT', 'DELETE']) {
    const curl = spawn('curl', ['-sk', '--http2', '-X', method, '-d', '', `${url}/`])
    let body = ''
    curl.stdout.on('data', chunk => {
      body += chunk
    })
    await once(curl, 'close')
    t.equal(body, `${method} 0`)
  }
})

t.test('as many fields as there is room for, cookies above all', async t => {
  const { port, log } = await startProxy(t, { backends })
  const fieldCounts: readonly [name: string, count: number, status: number][] = [
    ['cookie', 124, 200],
    ['cookie', 125, 200],
    ['cookie', 1_000, 200],
    ['cookie', 1_500, 200],
    ['cookie', 3_000, 431],
    ['x-', 124, 200],
    ['x-', 500, 200],
    ['x-', 2_000, 431],
    ['x-', 9_000, 431],
  ]
  for (const [name, count, status] of fieldCounts) {
    const client = await open(port)
    const many = Array.from({ length: count }, (_, i): [string, string] =>
      name === 'cookie' ? [name, `c${i}=1`] : [`${name}${i}`, '1'],
    )
    client.send(...headersFrames(1, [...pseudoFields('GET', '/'), ...many]))
    await until(() => client.statusOn(1) !== undefined, `${count} x ${name}`)
    t.equal(client.statusOn(1), status, `${count} x ${name}`)
    if (status === 200) {
      const { headers, rawHeaders } = backend.requests.at(-1) ?? {}
      if (name === 'cookie') t.equal(headers?.cookie?.split('; ').length, count)
      else t.equal(rawHeaders?.filter(part => part.startsWith('x-')).length, count)
    }
    client.socket.destroy()
  }
  const refused = () => log.requests.filter(line => line['status'] === 431)
  await until(() => refused().length === 3, 'all in the log')
})

t.test(
  'a header section beyond all reason ends the connection, and is logged',
  async t => {
    const { port, proxy, log } = await startProxy(t, { backends })
    const client = await open(port)
    const many = Array.from({ length: 200 }, (): [string, string] => [
      'x',
      'y'.repeat(1_000),
    ])
    client.send(...headersFrames(1, [...pseudoFields('GET', '/'), ...many]))
    await until(() => proxy.stats().connections === 0)
    t.match(log.requests, [{ status: 400, error: 'ERR_HTTP2_ERROR', phase: 'receive' }])
  },
)

t.test('a reload changes the limit for connections to come', async t => {
  const { port, proxy } = await startProxy(t, {
    backends,
    limits: { maxHeaderBytes: 4_096 },
  })
  const many = Array.from({ length: 1_000 }, (_, i): [string, string] => [
    'cookie',
    `c${i}=1`,
  ])
  const head = headersFrames(1, [...pseudoFields('GET', '/'), ...many])
  for (const status of [431, 200]) {
    const client = await open(port)
    client.send(...head)
    await until(() => client.statusOn(1) !== undefined)
    t.equal(client.statusOn(1), status)
    client.socket.destroy()
    proxy.reload({
      sites: [await defaultSite(backends)],
      limits: { maxHeaderBytes: 16_384 },
    })
  }
})

/** Cut into frames as RFC 9113 4.2 demands. */
function headersFrames(stream: number, fields: [string, string][]): Buffer[] {
  const block = headersFrame(stream, fields, true).subarray(9)
  const frames: Buffer[] = []
  for (let at = 0; at < block.length; at += 16_384) {
    const last = at + 16_384 >= block.length ? flags.endHeaders : 0
    const [type, end] = at === 0 ? ([1, flags.endStream] as const) : ([9, 0] as const)
    frames.push(frame(type, last | end, stream, block.subarray(at, at + 16_384)))
  }
  return frames
}

const replaced = (name: string, value: string): [string, string][] =>
  pseudoFields('POST', '/').map(([n, v]) => [n, n === name ? value : v])
const refusals: readonly [name: string, fields: [string, string][], status: number][] = [
  ['TRACE', replaced(':method', 'TRACE'), 405],
  ['a bad target', replaced(':path', '/a#b'), 400],
  ['OPTIONS *', [...pseudoFields('OPTIONS', '*')], 501],
  ['a strange Host', replaced(':authority', 'localhost:99999'), 400],
  ['an unknown host', replaced(':authority', 'secret.test'), 421],
  ['an expectation', [...pseudoFields('POST', '/'), ['expect', 'magic']], 417],
  ['too long a field', [...pseudoFields('POST', '/'), ['x', 'y'.repeat(5_000)]], 431],
  ['too long a body', [...pseudoFields('POST', '/'), ['content-length', '400000']], 413],
  ['an unbounded body', pseudoFields('POST', '/'), 413],
  ['a body that the backend refuses', pseudoFields('POST', '/early'), 413],
]

t.test('a refused request ends its stream and no other', async t => {
  const ca = await authority()
  const { port, log } = await startProxy(t, {
    sites: [
      { names: ['localhost'], backends, ...(await p256('localhost')) },
      {
        names: ['secret.test'],
        backends,
        ...(await p256('secret.test')),
        clientCa: ca.cert,
        clientCertificate: 'required',
      },
    ],
    limits: { maxHeaderBytes: 4_096, maxBodyBytes: 100_000 },
  })
  const client = await open(port)
  const rest = Buffer.alloc(16_000)
  let stream = 1
  client.send(headersFrame(stream, pseudoFields('GET', '/held'), true))
  for (const withBody of [false, true]) {
    for (const [name, fields, status] of refusals) {
      if (!withBody && status === 413) continue
      stream += 2
      client.send(headersFrame(stream, fields, !withBody))
      if (withBody)
        for (let i = 0; i < 8; i++) client.send(frame(frameTypes.data, 0, stream, rest))
      const what = `${name} ${withBody ? 'with a body' : ''}`
      // RFC 9113 8.1: the answer in full, and only then the word to send no more.
      await until(() => client.hasEnded(stream), `${what}: a whole answer`)
      t.equal(client.statusOn(stream), status, what)
      if (withBody) {
        await until(() => client.resetOf(stream) !== undefined, `${what}: a reset`)
        t.equal(client.resetOf(stream), 0, `${what}: NO_ERROR`)
      }
      t.equal(client.goaway, undefined, `${what}: no GOAWAY`)
    }
  }
  await until(() => held.length > 0)
  held.pop()?.()
  await until(() => client.bodyOn(1) === 'late', 'the request that was open all the time')
  stream += 2
  client.send(headersFrame(stream, pseudoFields('GET', '/'), true))
  await until(() => client.bodyOn(stream) === 'GET 0', 'one that came after')
  client.socket.destroy()
  t.equal(log.requests.filter(({ status }) => status === 200).length, 2)

  const bare = await open(port, 'secret.test')
  const fields = replaced(':authority', 'secret.test')
  bare.send(...[1, 3, 5].map(id => headersFrame(id, fields, true)))
  await until(() => [1, 3, 5].every(id => bare.hasEnded(id)), 'three answers')
  t.strictSame(
    [1, 3, 5].map(id => bare.statusOn(id)),
    [403, 403, 403],
  )
  t.equal(bare.goaway, undefined)
  bare.socket.destroy()
})

t.test('a client that has stopped sending is told that no more is wanted', async t => {
  const { port } = await startProxy(t, { backends })
  const client = await open(port)
  for (const stream of [1, 3, 5]) {
    client.send(headersFrame(stream, pseudoFields('POST', '/early'), false))
    client.send(frame(frameTypes.data, 0, stream, 'hello'))
    await until(() => client.resetOf(stream) === 0, `a reset of ${stream}`)
    t.ok(client.hasEnded(stream), 'after a whole answer')
  }
  client.socket.destroy()
})

t.test('a client of Node reads the answer to a body it has not finished', async t => {
  const { url } = await startProxy(t, { backends, limits: { maxBodyBytes: 100_000 } })
  const session = connect(url, { rejectUnauthorized: false })
  for (const path of ['/', '/early']) {
    const stream = session.request({ ':path': path, ':method': 'POST' })
    for (let i = 0; i < 10; i++) stream.write(Buffer.alloc(64_000))
    const [fields] = await once(stream, 'response')
    let body = ''
    stream.setEncoding('utf8').on('data', text => {
      body += text
    })
    await once(stream, 'close')
    t.equal(fields[':status'], 413)
    t.match(body, /./)
    t.equal(stream.rstCode, 0)
  }
  session.close()
})
