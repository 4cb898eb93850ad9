import { randomBytes } from 'node:crypto'
import t from 'tap'
import { objectBackend } from '../fixtures/backend/object-backend.ts'
import { GuardedProxy, withGuardian } from '../fixtures/serve/guarded-proxy.ts'
import type { PacedDownload } from '../fixtures/serve/paced-download.ts'

const object = randomBytes(8 * 2 ** 20)

t.test('connections of one client go to one worker together', withGuardian, async t => {
  const backend = await objectBackend(t, object)
  backend.holdAt = object.length - 1
  const workers = 3
  const proxy = await GuardedProxy.start(t, backend.url, workers)
  const first = await proxy.client(t)
  first.ask('/word')
  t.ok(await first.read(), first.why)
  const clients = [first]
  // Workers take turns: so each has two of them.
  while (clients.length < 2 * workers) {
    const client = await proxy.client(t, first.session)
    t.ok(client.isResumed)
    client.ask('/word')
    t.ok(await client.read(), client.why)
    clients.push(client)
  }
  const [dead, pair] = pairOf(proxy, clients)
  const [download, idle] = pair
  download.ask('/object')
  t.ok(await download.read(2 ** 20), download.why)
  await proxy.until(
    ({ protected: now }) => now.connections === clients.length && now.answers === 1,
  )
  process.kill(dead, 'SIGKILL')
  const heir = await proxy.workerThatHas(download, dead)
  t.equal(await proxy.workerThatHas(idle, dead), heir)
  backend.release()
  t.ok(await download.read(), `${download.why}\n${proxy.proxy.out}`)
  for (const client of pair) {
    client.ask('/word')
    t.ok(await client.read(), 'and both serve the next request')
  }
})

/** A worker, and two clients of its. */
function pairOf(
  proxy: GuardedProxy,
  clients: readonly PacedDownload[],
): [number, [PacedDownload, PacedDownload]] {
  for (const pid of proxy.workers()) {
    const [one, two] = clients.filter(client => proxy.workerOf(client) === pid)
    if (one !== undefined && two !== undefined) return [pid, [one, two]]
  }
  throw new Error('six clients and three workers')
}
