import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { objectBackend } from '../fixtures/backend/object-backend.ts'
import { GuardedProxy, withGuardian } from '../fixtures/serve/guarded-proxy.ts'
import { localhostFiles } from '../fixtures/tls/localhost-files.ts'

const object = randomBytes(32 * 2 ** 20)
const sha256 = createHash('sha256').update(object).digest('hex')

t.test('a download outlives the death of all workers at once', withGuardian, async t => {
  const backend = await objectBackend(t, object)
  backend.holdAt = object.length - 1
  const proxy = await GuardedProxy.start(t, backend.url, 1)
  const download = await proxy.client(t)
  for (const part of [0.1, 0.4]) {
    if (part < 0.2) download.ask('/object')
    t.ok(await download.read(part * object.length), download.why)
    await proxy.until(({ protected: now }) => now.answers === 1)
    proxy.killAll()
  }
  backend.release()
  t.ok(await download.read(), `${download.why}\n${proxy.proxy.out}`)
  t.equal(download.sha256, sha256)
  download.ask('/word')
  t.ok(await download.read(), 'and the connection serves the next request')
})

t.test(
  'who finds no room with the guardian is served as without',
  withGuardian,
  async t => {
    const folder = mkdtempSync(join(tmpdir(), 'handfast-guardian-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    for (const [name, text] of Object.entries((await localhostFiles()).certs)) {
      writeFileSync(join(folder, name), text)
    }
    const backend = await objectBackend(t, object)
    const file = join(folder, 'proxy.yaml')
    writeFileSync(
      file,
      `guardian: { enabled: true, maxConnections: 1 }
limits: { clientShare: 100 }
sites:
  - cert: localhost.crt
    key: localhost.key
    backends: ['${backend.url}']
`,
    )
    const proxy = await GuardedProxy.start(t, backend.url, 1, ['--config', file])
    const clients = [await proxy.client(t), await proxy.client(t), await proxy.client(t)]
    for (const client of clients) {
      client.ask('/word')
      t.ok(await client.read(), client.why)
    }
    // Workers believe that all are kept; the one who keeps them has told nobody that it is full.
    await proxy.until(({ protected: now }) => now.connections === clients.length)
    await proxy.killEach()
    let went = 0
    for (const client of clients) {
      client.ask('/word')
      if (await client.read()) went++
    }
    t.equal(went, 1, 'one went on, and the others ended with their worker')
  },
)
