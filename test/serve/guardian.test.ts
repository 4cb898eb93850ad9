import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { objectBackend } from '../fixtures/backend/object-backend.ts'
import { GuardedProxy, withGuardian } from '../fixtures/serve/guarded-proxy.ts'
import { until } from '../fixtures/until.ts'

/** More than kernels hold between backend, proxy and a client that does not read. */
const object = randomBytes(48 * 2 ** 20)
const sha256 = createHash('sha256').update(object).digest('hex')
const mebibyte = 2 ** 20

// Processes are slow to start: all of it is one proxy's, whose workers die twice.
t.test('connections outlive their workers', withGuardian, async t => {
  const backend = await objectBackend(t, object)
  const proxy = await GuardedProxy.start(t, backend.url, 1)
  const clients = async () => await Promise.all([0, 1, 2, 3].map(() => proxy.client(t)))
  const [download, idle, asking, posting] = await clients()
  if (!download || !idle || !asking || !posting) throw new Error('there are four')
  download.ask('/object')
  t.ok(await download.read(mebibyte), download.why)
  idle.ask('/word')
  t.ok(await idle.read(), idle.why)
  asking.ask('/held')
  posting.ask('/held', 'POST', 'Content-Length: 0\r\n')
  // Before that, both may be written down as connections that wait for a request.
  await until(() => backend.asked.filter(line => line.endsWith(' /held')).length === 2)
  await proxy.until(({ protected: now }) => now.connections === 4 && now.answers === 1)
  await proxy.killEach()

  await t.test('a download goes on with the byte at which it stood', async t => {
    t.ok(await download.read(), download.why)
    t.equal(download.bodyBytes, object.length)
    t.equal(download.sha256, sha256)
    download.ask('/word')
    t.ok(await download.read(), 'and the connection serves the next request')
    t.equal(download.bodyBytes, 4)
    t.ok(backend.asked.filter(line => line === 'GET /object').length >= 2)
  })

  await t.test('an idle connection serves its next request', async t => {
    idle.ask('/word')
    t.ok(await idle.read(), idle.why)
    t.equal(idle.status, 200)
  })

  await t.test('a request that changes nothing is asked again', async t => {
    const timer = setInterval(() => backend.release(), 20)
    t.teardown(() => clearInterval(timer))
    t.ok(await asking.read(), asking.why)
    t.equal(asking.status, 200)
    t.ok(backend.asked.filter(line => line === 'GET /held').length >= 2)
  })

  await t.test('one that may change something is not', async t => {
    t.ok(await posting.read(), posting.why)
    t.equal(posting.status, 502)
    t.equal(backend.asked.filter(line => line === 'POST /held').length, 1)
  })

  await t.test('an object that has changed is not spliced: a reset', async t => {
    download.ask('/object')
    t.ok(await download.read(mebibyte), download.why)
    await proxy.until(({ protected: now }) => now.answers === 1)
    backend.etag = '"v2"'
    // Whoever serves it is among them, and until others are there nobody can go on with it.
    proxy.killAll()
    t.notOk(await download.read())
    t.match(download.failure, { code: 'ECONNRESET' })
    await proxy.until(({ connections }) => connections['changed'] === 1)
  })
})
