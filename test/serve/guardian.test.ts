import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { GuardedProxy, withGuardian } from '../fixtures/guarded-proxy.ts'
import { objectBackend } from '../fixtures/object-backend.ts'

/** More than kernels hold between backend, proxy and a client that does not read. */
const object = randomBytes(48 * 2 ** 20)
const sha256 = createHash('sha256').update(object).digest('hex')
const mebibyte = 2 ** 20

t.test('a download goes on when workers are killed', withGuardian, async t => {
  const backend = await objectBackend(t, object)
  const proxy = await GuardedProxy.start(t, backend.url, 1)
  const client = await proxy.client(t)
  client.ask('/object')
  t.ok(await client.read(mebibyte))
  await proxy.until(({ protected: now }) => now.answers === 1)
  await proxy.killEach()
  t.ok(await client.read(25 * mebibyte), client.why)
  // Whoever has it now may have to write it down yet: what is kept fits all the same.
  proxy.killAll()
  t.ok(await client.read(), client.why)
  t.equal(client.bodyBytes, object.length)
  t.equal(client.sha256, sha256)
  client.ask('/word')
  t.ok(await client.read(), 'and the connection serves the next request')
  t.equal(client.bodyBytes, 4)
  t.ok(backend.asked.filter(line => line === 'GET /object').length >= 3)
})

t.test('an object that has changed is not spliced: a reset', withGuardian, async t => {
  const backend = await objectBackend(t, object)
  const proxy = await GuardedProxy.start(t, backend.url, 2)
  const client = await proxy.client(t)
  client.ask('/object')
  t.ok(await client.read(mebibyte))
  await proxy.until(({ protected: now }) => now.answers === 1)
  backend.etag = '"v2"'
  proxy.killAll()
  t.notOk(await client.read())
  t.match(client.failure, { code: 'ECONNRESET' })
  await proxy.until(({ connections }) => connections['changed'] === 1)
})

t.test('what waits for a request, or for an answer', withGuardian, async t => {
  const backend = await objectBackend(t, object)
  const proxy = await GuardedProxy.start(t, backend.url, 2)
  const [idle, asking, posting] = [
    await proxy.client(t),
    await proxy.client(t),
    await proxy.client(t),
  ]
  idle.ask('/word')
  t.ok(await idle.read())
  asking.ask('/held')
  posting.ask('/held', 'POST', 'Content-Length: 0\r\n')
  await proxy.until(({ protected: now }) => now.connections === 3)
  proxy.killAll()
  await t.test('an idle connection serves its next request', async t => {
    idle.ask('/word')
    t.ok(await idle.read(), idle.why)
    t.equal(idle.status, 200)
  })
  await t.test('a request that changes nothing is asked again', async t => {
    await proxy.until(({ connections }) => connections['asked'] === 1)
    const timer = setInterval(() => backend.release(), 20)
    t.teardown(() => clearInterval(timer))
    t.ok(await asking.read(), asking.why)
    t.equal(asking.status, 200)
  })
  await t.test('one that may change something is not', async t => {
    t.ok(await posting.read(), posting.why)
    t.equal(posting.status, 502)
    t.equal(backend.asked.filter(line => line === 'POST /held').length, 1)
  })
})

t.test('it is off unless asked for, and says so', async t => {
  const backend = await objectBackend(t, object)
  const proxy = await GuardedProxy.start(t, backend.url, 1, [])
  t.match(await proxy.status(), { guardian: 'off' })
})
