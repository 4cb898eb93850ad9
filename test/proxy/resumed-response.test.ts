import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import t from 'tap'
import { ObjectProcess } from '../fixtures/object-process.ts'
import { defaultSite, startProxy, until } from '../fixtures/proxy-servers.ts'
import { startRangeBackend } from '../fixtures/range-backend.ts'

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

for (const version of ['--http1.1', '--http2']) {
  t.test(
    `curl ${version} gets the whole through a backend killed three times`,
    async t => {
      const backend = new ObjectProcess(t, size)
      const places = [0.03, 0.2, 0.37].map(part => part * size)
      // Each process could send no more than some way beyond the place where it dies.
      const most = [0.15, 0.32, 0.5, 1].map(part => part * size)
      await backend.start(most.shift())
      const { url, log } = await startProxy(t, { backends: [backend.url] })
      const got = await curl([version, url], places, async () => {
        await backend.kill()
        await backend.start(most.shift())
      })
      t.strictSame(got, { code: 0, bytes: size, sha256: backend.sha256() })
      await until(() => log.requests.length === 1)
      t.match(log.requests[0], {
        status: 200,
        bytes: size,
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
