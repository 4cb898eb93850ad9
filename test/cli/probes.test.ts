import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, get } from 'node:http'
import { get as getTls } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../fixtures/free-port.ts'
import { CliProcess } from '../fixtures/process/cli-process.ts'
import { localhostPair } from '../fixtures/tls/localhost-files.ts'

interface Said {
  readonly status: number
  readonly text: string
}

const said = (url: string, ca?: string): Promise<Said> =>
  new Promise((resolve, reject) => {
    const asked = ca === undefined ? get(url) : getTls(url, { ca, agent: false })
    asked.on('error', reject).on('response', async response => {
      let text = ''
      for await (const chunk of response) text += chunk
      resolve({ status: response.statusCode ?? 0, text })
    })
  })

for (const workers of [1, 2]) {
  t.test(
    `${workers} workers: not ready on SIGTERM, and all goes on for a while`,
    async t => {
      const backend = createServer((_, response) => response.end('hello'))
      backend.listen(0, '127.0.0.1')
      await once(backend, 'listening')
      t.teardown(() => {
        backend.closeAllConnections()
        backend.close()
      })
      const { key, cert } = await localhostPair()
      const admin = await freePort()
      const to = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`
      const cwd = t.testdir({
        'a.crt': cert,
        'a.key': key,
        'handfast.yaml':
          `listen: 127.0.0.1:0\nworkers: ${workers}\nhealthPath: /health\n` +
          `admin: { listen: ${admin} }\nlimits: { shutdownDelay: 1d }\n` +
          `sites: [{cert: a.crt, key: a.key, names: [localhost], backends: ["${to}"]}]\n`,
      })
      const proxy = new CliProcess(t, ['proxy', '--config', 'handfast.yaml'], { cwd })
      const port = await proxy.port()
      const ca = readFileSync(join(cwd, 'a.crt'), 'utf8')
      const probe = (path: string) => said(`http://127.0.0.1:${admin}${path}`)
      const health = () => said(`https://127.0.0.1:${port}/health`, ca)
      t.strictSame(await probe('/readyz'), { status: 200, text: 'ok\n' })
      t.equal((await health()).status, 200)

      proxy.signal('SIGTERM')
      await proxy.until(() => proxy.log.some(({ msg }) => msg === 'draining'))
      // Each worker is asked, as far as chance goes.
      for (let i = 0; i < 4; i += 1) {
        let now = await probe('/readyz')
        while (now.status === 200) now = await probe('/readyz')
        t.strictSame(now, { status: 503, text: 'draining\n' })
        t.equal((await health()).status, 503)
        t.equal((await probe('/healthz')).status, 200)
        t.match(await said(`https://localhost:${port}/`, ca), {
          status: 200,
          text: 'hello',
        })
      }
      proxy.signal('SIGTERM')
      t.equal(await proxy.exit, 1, 'who asks twice will not wait')
    },
  )
}
