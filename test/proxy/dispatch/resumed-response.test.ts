import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  constants,
  createServer as createHttp2Server,
  type Http2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { ObjectProcess } from '../../fixtures/backend/object-process.ts'
import { startRangeBackend } from '../../fixtures/backend/range-backend.ts'
import { defaultSite, startProxy } from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

/** 200 and more for the long form. */
const megabytes = Number(process.env['OBJECT_MEGABYTES'] ?? 36)
const size = megabytes * 1_000_000 + 7

interface Got {
  readonly code: number
  readonly bytes: number
  readonly sha256: string
}

/** Runs curl without any of its ways to try again; `act` at each so many bytes. */
async function curl(
  args: readonly string[],
  places: readonly number[] = [],
  act: () => Promise<void> = async () => {},
): Promise<Got> {
  const child = spawn('curl', ['-sk', '-m', '100', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const hash = createHash('sha256')
  const left = [...places]
  let bytes = 0
  child.stdout.on('data', chunk => {
    bytes += chunk.length
    hash.update(chunk)
    if (left[0] === undefined || bytes < left[0]) return
    left.shift()
    child.stdout.pause()
    void act().then(() => child.stdout.resume())
  })
  const [code] = await once(child, 'close')
  return { code, bytes, sha256: hash.digest('hex') }
}

/** HTTP/2 to backends, too, with less of it: the suite is long enough. */
const kills = [
  { version: '--http1.1', module: 'node:http', bytes: size },
  { version: '--http2', module: 'node:http', bytes: size },
  { version: '--http1.1', module: 'node:http2', bytes: Math.ceil(size / 2) },
  { version: '--http2', module: 'node:http2', bytes: Math.ceil(size / 2) },
] as const

for (const { version, module, bytes: whole } of kills) {
  t.test(
    `curl ${version} gets the whole through a backend of ${module} killed three times`,
    async t => {
      const backend = new ObjectProcess(t, whole, module)
      const places = [0.03, 0.2, 0.37].map(part => part * whole)
      // Each process could send no more than some way beyond the place where it dies.
      const most = [0.15, 0.32, 0.5, 1].map(part => part * whole)
      await backend.start(most.shift())
      const site = await defaultSite([backend.url])
      const backendProtocol = module === 'node:http2' ? 'http2' : 'http1'
      const { url, log } = await startProxy(t, { sites: [{ ...site, backendProtocol }] })
      const got = await curl([version, url], places, async () => {
        await backend.kill()
        await backend.start(most.shift())
      })
      t.strictSame(got, { code: 0, bytes: whole, sha256: backend.sha256() })
      await until(() => log.requests.length === 1)
      t.match(log.requests[0], {
        status: 200,
        bytes: whole,
        resumedAnswer: 3,
        error: undefined,
      })
      const resumed = log.lines.filter(line => line.message === 'a response broke off')
      t.strictSame(
        resumed.map(({ fields }) => fields['outcome']),
        ['resumed', 'resumed', 'resumed'],
      )
    },
  )
}

for (const version of ['--http1.1', '--http2']) {
  t.test(`curl ${version} is told when it can't go on`, async t => {
    const object = Buffer.alloc(1_000_000, 'abc')
    let etag = 1
    const backend = await startRangeBackend(t, object, () => ({
      cut: 500_000,
      etag: `"v${etag++}"`,
    }))
    const { url, log } = await startProxy(t, { backends: [backend.url] })
    const { code, bytes } = await curl([version, url])
    t.not(code, 0)
    t.ok(bytes <= 500_000)
    t.equal(backend.heads.length, 2)
    await until(() => log.requests.length === 1)
    t.match(log.requests[0], { error: /./, phase: 'respond', resumedAnswer: undefined })
  })
}

/** How a backend of HTTP/2 may leave an answer in the middle. */
const ends: Readonly<Record<string, (stream: ServerHttp2Stream) => void>> = {
  'a reset with an error': stream => stream.close(constants.NGHTTP2_INTERNAL_ERROR),
  'a reset that calls it cancelled': stream => stream.close(constants.NGHTTP2_CANCEL),
  'a reset without an error': stream => stream.close(constants.NGHTTP2_NO_ERROR),
  'an end before its length': stream => void stream.end(),
  'a connection that ends': stream => stream.session?.destroy(),
  'a connection that says first that it ends': stream => {
    stream.session?.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    setImmediate(() => stream.session?.destroy())
  },
}

for (const [name, leave] of Object.entries(ends)) {
  t.test(`HTTP/2 to the backend: ${name} is gone on from`, async t => {
    const object = randomBytes(300_000)
    const ranges: (string | undefined)[] = []
    const server = createHttp2Server()
    const sessions = new Set<Http2Session>()
    server.on('session', session => sessions.add(session.on('error', () => {})))
    server.on('stream', (stream, { range }) => {
      stream.on('error', () => {})
      ranges.push(range)
      const first = Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0)
      const fields = { etag: '"v1"', 'content-length': object.length - first }
      if (range === undefined) {
        stream.respond({ ':status': 200, ...fields })
        stream.write(object.subarray(0, 100_000), () => setImmediate(leave, stream))
        return
      }
      const part = `bytes ${first}-${object.length - 1}/${object.length}`
      stream.respond({ ':status': 206, ...fields, 'content-range': part })
      stream.end(object.subarray(first))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      for (const session of sessions) session.destroy()
      server.close()
    })
    const { port } = server.address() as AddressInfo
    const site = await defaultSite([`http://127.0.0.1:${port}`])
    const { url, log } = await startProxy(t, {
      sites: [{ ...site, backendProtocol: 'http2' }],
    })
    const got = await curl(['--http2', url])
    t.strictSame(got, {
      code: 0,
      bytes: object.length,
      sha256: createHash('sha256').update(object).digest('hex'),
    })
    t.equal(ranges.length, 2)
    await until(() => log.requests.length === 1)
    t.match(log.requests[0], { resumedAnswer: 1, error: undefined })
  })
}

t.test('a site may have it off', async t => {
  const object = Buffer.alloc(1_000_000, 'abc')
  const backend = await startRangeBackend(t, object, () => ({ cut: 500_000 }))
  const site = await defaultSite([backend.url])
  const sites = [{ ...site, resumeResponses: { most: 0 } }]
  const { url, log } = await startProxy(t, { sites })
  const { code, bytes } = await curl(['--http1.1', url])
  t.equal(code, 18, 'a partial file')
  t.equal(bytes, 500_000)
  t.equal(backend.heads.length, 1)
  t.notOk(log.lines.some(line => line.message === 'a response broke off'))
})

t.test('an option out of its range is refused by name', async t => {
  const site = await defaultSite(['http://127.0.0.1:1'])
  const sites = [{ ...site, resumeResponses: { timeout: 0 } }]
  await t.rejects(startProxy(t, { sites }), {
    code: 'ERR_HANDFAST_CONFIG',
    message: /resumeResponses\.timeout/,
  })
})
