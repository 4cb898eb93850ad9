import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CliProcess } from '../fixtures/process/cli-process.ts'
import { Browser } from '../fixtures/proxy/browser.ts'
import { startBackend } from '../fixtures/proxy/servers.ts'
import { localhostFiles } from '../fixtures/tls/localhost-files.ts'

t.test('two workers: URLs name the same backends, and the same backup', async t => {
  const names = ['a', 'b', 'c']
  const backends = await Promise.all(
    names.map(name => startBackend(t, (_request, response) => response.end(name))),
  )
  const cwd = t.testdir(await localhostFiles())
  writeFileSync(
    join(cwd, 'handfast.yaml'),
    JSON.stringify({
      listen: '127.0.0.1:0',
      workers: 2,
      sites: [
        {
          cert: 'certs/localhost.crt',
          key: 'certs/localhost.key',
          affinity: { by: 'path', prefix: '/at-' },
          // Without names: they are made of the secret of the farm.
          backends: backends.map(({ url }) => url),
        },
      ],
    }),
  )
  const proxy = new CliProcess(t, ['proxy', '--config', 'handfast.yaml'], { cwd })
  const port = await proxy.port()
  const browser = new Browser()
  await browser.get(port, {}, '/cart')
  const { location = '' } = browser.lastHeaders
  t.match(location, /^\/at-[0-9a-f]{16}\/cart$/)
  const first = await browser.get(port, {}, location)
  for (let i = 0; i < 8; i++) t.equal(await browser.get(port, {}, location), first)
  const failed = backends[names.indexOf(first)]
  failed?.server.close()
  failed?.server.closeAllConnections()
  const taken = new Set<string>()
  for (let i = 0; i < 8; i++) {
    // Answered by the backup, or sent to its URL.
    let got = await browser.get(port, {}, location)
    if (browser.lastStatus === 307) {
      got = await browser.get(port, {}, browser.lastHeaders.location)
    }
    taken.add(got)
  }
  t.equal(taken.size, 1, 'whichever worker it is')
  t.notOk(taken.has(first))
  const workers = () =>
    new Set(proxy.log.filter(({ msg }) => msg === 'request').map(({ worker }) => worker))
  await proxy.until(() => workers().size === 2)
  proxy.signal('SIGTERM')
  t.equal(await proxy.exit, 0)
})
