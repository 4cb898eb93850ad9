import t from 'tap'
import { createAdmin } from '../../../lib/admin/admin.ts'
import { adminToken } from '../../../lib/admin/admin-token.ts'
import { backendCommand } from '../../../lib/cli/commands/backend.ts'
import type { Drains } from '../../../lib/dispatch/drains.ts'
import { generateSecret, parseSecret } from '../../../lib/farm/secret.ts'
import { createFarm } from '../../../lib/member/create-farm.ts'
import { createProxy } from '../../../lib/proxy/proxy.ts'
import { fakeIo } from '../../fixtures/cli/io.ts'
import { reached } from '../../fixtures/farm/reached.ts'
import { Browser } from '../../fixtures/proxy/browser.ts'
import { farmProxies } from '../../fixtures/proxy/farm.ts'
import { defaultSite, MemoryLog, startBackend } from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

t.test(
  'a drained backend keeps its clients and gets no others, on every proxy',
  async t => {
    const [a, b] = await Promise.all([
      startBackend(t, (_request, response) => response.end('a')),
      startBackend(t, (_request, response) => response.end('b')),
    ])
    const site = {
      ...(await defaultSite([a.url, b.url])),
      affinity: { by: 'cookie' },
    }
    const proxies = await farmProxies(t, { count: 2, sites: () => [site] })
    const [one, two] = proxies.map(({ port }) => port) as [number, number]
    const drains = proxies.map(({ farm }) => farm.drains) as [Drains, Drains]
    const held = new Browser()
    while ((await held.get(one)) !== 'a') held.cookies.clear()
    t.match(await reached(() => drains[0].drain(a.url)), { everywhere: true })
    for (const port of [one, two, one, two]) {
      t.equal(await held.get(port), 'a', 'a client that it holds')
      t.equal(await new Browser().get(port), 'b', 'one that is new')
    }
    proxies[1]?.proxy.reload({ sites: [site] })
    t.equal(await new Browser().get(two), 'b', 'also after a reload')
    b.server.close()
    b.server.closeAllConnections()
    await until(() => b.sockets.size === 0)
    const lost = new Browser()
    await lost.get(one)
    t.not(lost.lastStatus, 200, 'not even when there is no other')
    t.match(await reached(() => drains[1].enable(a.url)), { everywhere: true })
    t.equal(await new Browser().get(one), 'a')
    t.equal(await new Browser().get(two), 'a')
  },
)

t.test('reloads and drains under load: no request is lost', async t => {
  const backends = await Promise.all(
    ['a', 'b', 'c'].map(name =>
      startBackend(t, (_request, response) => {
        setTimeout(() => response.end(name), 2)
      }),
    ),
  )
  const urls = backends.map(({ url }) => url)
  const site = await defaultSite(urls)
  const [proxy] = await farmProxies(t, { count: 1, sites: () => [site] })
  let going = true
  let served = 0
  const clients = Array.from({ length: 8 }, async () => {
    const browser = new Browser({ keepAlive: true })
    while (going) {
      await browser.get(proxy?.port as number)
      if (browser.lastStatus !== 200) t.fail(`status ${browser.lastStatus}`)
      served++
    }
    browser.close()
  })
  for (let i = 0; i < 6; i++) {
    const url = urls[i % 3] as string
    const other = urls[(i + 1) % 3] as string
    await proxy?.farm.drains.drain(url)
    proxy?.proxy.reload({ sites: [{ ...site, backends: [url, other] }] })
    const before = served
    await until(() => served > before + 30)
    await proxy?.farm.drains.enable(url)
    proxy?.proxy.reload({ sites: [site] })
  }
  going = false
  await Promise.all(clients)
  t.ok(served > 100)
})

t.test('handfast backend lists, drains and enables over the admin port', async t => {
  const secret = generateSecret()
  const log = new MemoryLog()
  const farm = await createFarm({ secret, log })
  t.teardown(() => farm.close())
  const backend = await startBackend(t, (_request, response) => response.end())
  const proxy = await createProxy({
    host: '127.0.0.1',
    port: 0,
    sites: [await defaultSite([backend.url])],
    sessions: farm,
    drains: farm.drains,
    log,
  })
  t.teardown(() => proxy.close())
  for (const section of proxy.sections) farm.sections.add(section)
  const token = adminToken(parseSecret(secret), 'handfast')
  const admin = await createAdmin({ farm, port: 0, token, log })
  t.teardown(() => admin.close())
  const run = async (args: string[], env: Record<string, string> = {}) => {
    const io = fakeIo(process.cwd(), env)
    const code = await backendCommand.run([...args, '--admin', String(admin.port)], io)
    return { code, out: io.stdout.text, error: io.stderr.text }
  }
  const env = { HANDFAST_SECRET: secret }
  t.match(await run(['list']), { code: 0, out: `${backend.url}  ready` })
  t.match(await run(['drain', backend.url], env), { code: 0, out: /^drained: all/ })
  t.match(await run(['list']), { out: 'drained' })
  t.match(JSON.parse((await run(['list', '--json'])).out), [{ draining: 1 }])
  t.match(await run(['enable', backend.url], env), { code: 0, out: /^enabled: all/ })
  t.match(await run(['list']), { out: 'ready' })

  const wrong = { HANDFAST_SECRET: generateSecret() }
  t.match(await run(['drain', backend.url], wrong), { code: 1, error: /refused/ })
  t.match(await run(['drain', 'http://nowhere.test'], env), {
    code: 1,
    error: /no backend/,
  })
  await t.rejects(run(['drain', backend.url]), /needs the farm secret/)
  for (const args of [[], ['stop'], ['drain'], ['drain', 'x'], ['list', 'x']]) {
    await t.rejects(run(args, env), { code: 'ERR_HANDFAST_CONFIG' }, args.join(' '))
  }
  t.match(await run(['list']), { out: 'ready' })
})
