import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { objectBackend } from '../fixtures/backend/object-backend.ts'
import { GuardedProxy, withGuardian } from '../fixtures/serve/guarded-proxy.ts'

const object = randomBytes(48 * 2 ** 20)
const sha256 = createHash('sha256').update(object).digest('hex')

t.test('an upgrade ends no connection, and refuses none', withGuardian, async t => {
  const backend = await objectBackend(t, object)
  const proxy = await GuardedProxy.start(t, backend.url, 1)
  const before = proxy.workers()
  const [download, idle] = [await proxy.client(t), await proxy.client(t)]
  download.ask('/object')
  t.ok(await download.read(2 ** 20), download.why)
  idle.ask('/word')
  t.ok(await idle.read(), idle.why)
  await proxy.until(({ protected: now }) => now.connections === 2 && now.answers === 1)
  let ended = false
  let failed = 0
  let served = 0
  const visits = (async () => {
    while (!ended) {
      try {
        const client = await proxy.client(t)
        client.ask('/word')
        if (await client.read()) served++
        else failed++
        client.close()
        // It is about being refused, not about load: the workers have to come up meanwhile.
        await sleep(20)
      } catch {
        failed++
      }
    }
  })()
  proxy.proxy.signal('SIGUSR2')
  await proxy.proxy.until(() => proxy.proxy.log.some(({ msg }) => msg === 'upgraded'))
  t.ok(await download.read(), download.why)
  t.equal(download.sha256, sha256)
  download.ask('/word')
  t.ok(await download.read(), download.why)
  idle.ask('/word')
  t.ok(await idle.read(), idle.why)
  ended = true
  await visits
  t.equal(failed, 0)
  t.ok(served > 0, `${served} visits meanwhile`)
  const ends = () => proxy.proxy.log.filter(({ msg }) => msg === 'worker ended')
  await proxy.proxy.until(() => ends().length === before.length)
  for (const end of ends()) t.match(end, { code: 0 })
  const after = proxy.workers()
  t.equal(after.length, 2)
  t.notOk(after.some(pid => before.includes(pid)))
})
