import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { textOf } from '../../lib/admin/section/exposition.ts'
import { gauge } from '../../lib/admin/section/family.ts'
import { logSection } from '../../lib/admin/section/log.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import type { Farm } from '../../lib/member/farm.ts'
import { token, world } from '../fixtures/admin/world.ts'
import { type FarmProxy, farmProxies } from '../fixtures/proxy/farm.ts'
import { startBackend } from '../fixtures/proxy/servers.ts'
import { ask, site } from '../fixtures/proxy/sites.ts'
import { only, resume } from '../fixtures/resumption/world.ts'
import { rootUrl } from '../fixtures/root.ts'
import { visit } from '../fixtures/tls/client.ts'
import { until } from '../fixtures/until.ts'

t.test('metrics are what Prometheus reads, with a line for each cause', async t => {
  const { ask, port } = await world(t)
  const first = await visit({ port, ...only('TLSv1.3') })
  await resume(port, first.sessions[0], only('TLSv1.3'))
  const other = { servername: 'other.test', ...only('TLSv1.3') }
  await resume(port, first.sessions[1], other)
  const { status, headers, body } = await ask('GET', '/metrics')
  t.equal(status, 200)
  t.match(headers['content-type'], /^text\/plain; version=0\.0\.4/)
  const figures = readMetrics(body)
  t.match(Object.fromEntries(figures), {
    'handfast_handshakes_total{outcome="full",detail="none-offered"}': 1,
    'handfast_handshakes_total{outcome="full",detail="policy"}': 1,
    'handfast_handshakes_total{outcome="resumed",detail="local"}': 1,
    'handfast_handshakes_total{outcome="failed",detail=""}': 0,
    'handfast_members{state="ready"}': 1,
    handfast_table_records: Number,
    'handfast_transport{figure="linksOut"}': 0,
    'handfast_transport_total{figure="fetches"}': 0,
  })
  await resume(port, first.sessions[0], only('TLSv1.3'))
  const again = readMetrics((await ask('GET', '/metrics')).body)
  t.equal(again.get('handfast_handshakes_total{outcome="resumed",detail="local"}'), 2)
})

t.test('lines that the log has lost are counted', async t => {
  const { ask } = await world(t, { token, dropped: () => 17 })
  const metrics = readMetrics((await ask('GET', '/metrics')).body)
  t.equal(metrics.get('handfast_log_dropped_total'), 17)
})

t.test('requests are counted by what is configured, never by what is said', async t => {
  const good = await startBackend(t, (request, response) => {
    response.statusCode = Number(request.url?.slice(1))
    response.end()
  })
  const dead = await startBackend(t, () => {})
  dead.server.close()
  const sites = [await site('a.test', [good.url]), await site('b.test', [dead.url])]
  const [one] = await farmProxies(t, {
    count: 1,
    sites: () => sites,
  })
  const { port, farm } = one as FarmProxy
  await ask(port, 'a.test', { path: '/200' })
  await ask(port, 'a.test', { path: '/404', method: 'HEAD' })
  await ask(port, 'a.test', { path: '/200', method: 'PROPFIND' })
  await ask(port, 'a.test', { path: '/299' })
  await ask(port, 'b.test', { path: '/200' })
  await ask(port, 'a.test', { path: '/200', headers: { host: 'c.test' } })
  await until(() => countsOf(farm).length >= 6)
  const figures = readMetrics(await farm.metrics())
  const requests = (labels: string) => figures.get(`handfast_requests_total{${labels}}`)
  t.equal(requests('site="a.test",method="GET",class="2xx",status="200"'), 1)
  t.equal(requests('site="a.test",method="HEAD",class="4xx",status="404"'), 1)
  t.equal(requests('site="a.test",method="other",class="2xx",status="200"'), 1)
  t.equal(requests('site="a.test",method="GET",class="other",status="other"'), 1)
  t.equal(requests('site="b.test",method="GET",class="5xx",status="502"'), 1)
  t.equal(requests('site="none",method="GET",class="4xx",status="421"'), 1)
  const took = (le: string) =>
    figures.get(`handfast_request_duration_seconds_bucket{site="a.test",le="${le}"}`)
  t.equal(took('+Inf'), 4)
  t.ok((took('0.001') ?? 9) <= (took('1') ?? 0))
  const { origin } = new URL(dead.url)
  t.equal(
    figures.get(`handfast_backend_errors_total{backend="${origin}",kind="refused"}`),
    1,
  )
  t.equal(figures.get(`handfast_backend_up{backend="${origin}"}`), 0)
  t.equal(figures.get(`handfast_backend_up{backend="${new URL(good.url).origin}"}`), 1)
  const expiry = figures.get(
    'handfast_certificate_expiry_timestamp_seconds{site="a.test"}',
  )
  t.ok((expiry ?? 0) > Date.now() / 1_000)
})

t.test('all is told in the docs', async t => {
  const { farm } = await oneProxy(t)
  const text = await farm.metrics()
  const names = (text.match(/^# HELP \w+/gm) ?? []).map(line => line.slice(7))
  const docs = readFileSync(new URL('docs/metrics.md', rootUrl), 'utf8')
  const told = [...docs.matchAll(/^\| (`handfast_.*?) \|/gm)].flatMap(
    ([, cell = '']) => cell.match(/\w+/g) ?? [],
  )
  t.same(told.sort(), names.sort())

  // Figures that are in both, or in the wrong one, would be counters and gauges under one name.
  const other = await createFarm({
    secret: generateSecret(),
    listen: { host: '127.0.0.1', port: 0 },
    transport: 'unicast',
  })
  t.teardown(() => other.close())
  const figures = readMetrics(`${text}\n${await other.metrics()}`)
  for (const [, cell = '', says = ''] of docs.matchAll(
    /^\| (`[a-z]\w+`.*?) \| (.*) \|$/gim,
  )) {
    for (const figure of cell.match(/\w+/g) ?? []) {
      const isNow = figures.has(`handfast_transport{figure="${figure}"}`)
      const isSince = figures.has(`handfast_transport_total{figure="${figure}"}`)
      t.notOk(isNow && isSince, `${figure} has one kind`)
      if (isNow || isSince) t.equal(isNow, /\bnow$/.test(says), `${figure}: ${says}`)
    }
  }
})

const hasPromtool = spawnSync('promtool', ['--version']).status === 0

t.test('promtool finds no fault', { skip: !hasPromtool && 'no promtool' }, async t => {
  const { farm } = await oneProxy(t)
  const input = await farm.metrics()
  const { stdout, stderr, status } = spawnSync('promtool', ['check', 'metrics'], {
    input,
  })
  t.equal(`${stdout}${stderr}`, '')
  t.equal(status, 0)
})

/** A proxy that has served a request. */
async function oneProxy(t: Test): Promise<FarmProxy> {
  const backend = await startBackend(t, (_request, response) => response.end())
  const sites = [await site('a.test', [backend.url])]
  const [one] = await farmProxies(t, { count: 1, sites: () => sites })
  const { port, farm } = one as FarmProxy
  farm.sections.add(logSection(() => 0))
  await ask(port, 'a.test')
  await until(() => countsOf(farm).length > 0)
  return one as FarmProxy
}

function countsOf(farm: Farm): readonly object[] {
  const { requests } = farm.stats() as unknown as { requests: { counts: object[] } }
  return requests.counts
}

t.test('text that could end a label or a line does neither', async t => {
  const text = textOf([
    gauge('a_seconds', 'One\nof two \\ lines', [
      { labels: { name: 'a"b\\c\nd' }, value: Number.NaN },
      { value: Number.POSITIVE_INFINITY },
    ]),
  ])
  t.equal(
    text,
    '# HELP a_seconds One\\nof two \\\\ lines\n# TYPE a_seconds gauge\n' +
      'a_seconds{name="a\\"b\\\\c\\nd"} NaN\na_seconds +Inf\n',
  )
})

/** The text format 0.0.4, strictly: every sample belongs to a family that was announced. */
function readMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  const families = new Set<string>()
  for (const line of text.split('\n')) {
    const [, announced, type] = /^# (?:HELP|TYPE) ([a-z_0-9]+) (\S+)/.exec(line) ?? []
    if (announced !== undefined) families.add(announced)
    if (type === 'histogram')
      for (const end of ['bucket', 'sum', 'count']) families.add(`${announced}_${end}`)
    if (line === '' || line.startsWith('#')) continue
    const label = '[a-z]+="[^"\\\\\\n]*"'
    const sample = new RegExp(
      `^([a-z_0-9]+)(?:\\{${label}(?:,${label})*\\})? (\\S+)$`,
    ).exec(line)
    const [, family = '', value] = sample ?? []
    if (!families.has(family) || Number.isNaN(Number(value))) throw new Error(line)
    samples.set(line.slice(0, line.lastIndexOf(' ')), Number(value))
  }
  return samples
}
