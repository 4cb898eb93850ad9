import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import type { Site } from '../../../lib/proxy/options.ts'
import {
  defaultSite,
  startBackend,
  startProxy,
  type TestProxy,
} from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

const exec = promisify(execFile)

async function body(url: string, ...options: string[]): Promise<string> {
  return (await exec('curl', ['-sk', '-m', '20', ...options, url])).stdout
}

function said({ log }: TestProxy, message: string): number {
  return log.lines.filter(line => line.message === message).length
}

t.test('a backend whose check fails gets no requests until it is well again', async t => {
  let well = true
  const checked: string[] = []
  const one = await startBackend(t, (request, response) => {
    if (request.url !== '/health?db') {
      response.end('one')
      return
    }
    checked.push(`${request.method} ${request.headers.host}`)
    response.end(well ? 'database: fine' : 'database: gone')
  })
  const two = await startBackend(t, (_request, response) => {
    response.end('two, database: fine')
  })
  const site: Site = {
    ...(await defaultSite([one.url, two.url])),
    health: {
      check: {
        path: '/health?db',
        host: 'shop.test',
        status: 200,
        matches: 'database: (fine|ok)',
        interval: 20,
        rise: 2,
        fall: 2,
      },
    },
  }
  const proxy = await startProxy(t, { sites: [site] })
  const answers = async () => {
    const all = await Promise.all([1, 2, 3, 4].map(() => body(proxy.url)))
    return new Set(all.map(text => text.slice(0, 3)))
  }
  t.strictSame(await answers(), new Set(['one', 'two']))
  await until(() => checked.length > 2)
  t.equal(checked[0], 'GET shop.test')
  well = false
  await until(() => said(proxy, 'a backend is passed over') === 1)
  const failed = proxy.log.lines.find(({ message }) => message === 'a check failed')
  t.match(failed, { fields: { backend: one.url, fault: 'body' } })
  t.strictSame(await answers(), new Set(['two']))
  well = true
  await until(() => said(proxy, 'a backend is back') === 1)
  t.strictSame(await answers(), new Set(['one', 'two']))
})

t.test('one that must be checked before use waits for it', async t => {
  let well = false
  const slow = await startBackend(t, (request, response) => {
    response.statusCode = request.url === '/health' && !well ? 503 : 200
    response.end('new')
  })
  const old = await startBackend(t, (_request, response) => response.end('old'))
  const site: Site = {
    ...(await defaultSite([slow.url, old.url])),
    health: { check: { path: '/health', interval: 20, beforeUse: true } },
  }
  const proxy = await startProxy(t, { sites: [site] })
  await until(() => old.requests.length > 0)
  for (let i = 0; i < 4; i++) t.equal(await body(proxy.url), 'old')
  well = true
  await until(() => said(proxy, 'a backend is back') >= 2)
  const all = await Promise.all([1, 2, 3, 4].map(() => body(proxy.url)))
  t.ok(all.includes('new'))
})

t.test('checks find a backend that is down and back before a request does', async t => {
  const one = await startBackend(t, (_request, response) => response.end('one'))
  const two = await startBackend(t, (_request, response) => response.end('two'))
  const site: Site = {
    ...(await defaultSite([one.url, two.url])),
    health: {
      check: { path: '/', interval: 20, timeout: 2_000 },
      eject: { time: 60_000 },
    },
  }
  const proxy = await startProxy(t, { sites: [site] })
  await until(() => one.requests.length > 0)
  const { port } = new URL(one.url)
  one.server.closeAllConnections()
  await new Promise(resolve => one.server.close(resolve))
  for (let i = 0; i < 4; i++) t.equal(await body(proxy.url), 'two')
  await until(() => said(proxy, 'a backend is passed over') > 0)
  one.server.listen(Number(port), '127.0.0.1')
  await until(() => said(proxy, 'a backend is back') > 0)
  const all = await Promise.all([1, 2, 3, 4].map(() => body(proxy.url)))
  t.ok(all.includes('one'), 'long before the time of a request that failed is over')
})

t.test('a reload without the backend ends its checks', async t => {
  const one = await startBackend(t, (_request, response) => response.end('one'))
  const two = await startBackend(t, (_request, response) => response.end('two'))
  const checked = { health: { check: { path: '/', interval: 20 } } }
  const proxy = await startProxy(t, {
    sites: [{ ...(await defaultSite([one.url])), ...checked }],
  })
  await until(() => one.requests.length > 2)
  proxy.proxy.reload({ sites: [{ ...(await defaultSite([two.url])), ...checked }] })
  const before = one.requests.length
  await until(() => two.requests.length > 5)
  t.ok(one.requests.length <= before + 1, 'but for one under way')
})
