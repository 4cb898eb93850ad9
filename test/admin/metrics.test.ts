import t from 'tap'
import { token, world } from '../fixtures/admin-world.ts'
import { only, resume } from '../fixtures/resumption-world.ts'
import { visit } from '../fixtures/tls-client.ts'

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
    'handfast_table{figure="records"}': Number,
    'handfast_transport{figure="fetches"}': 0,
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

/** The text format 0.0.4, strictly: every sample belongs to a family that was announced. */
function readMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  const families = new Set<string>()
  for (const line of text.split('\n')) {
    const announced = /^# (?:HELP|TYPE) ([a-z_]+) \S/.exec(line)?.[1]
    if (announced !== undefined) families.add(announced)
    if (line === '' || line.startsWith('#')) continue
    const label = '[a-z]+="[^"\\\\\\n]*"'
    const sample = new RegExp(`^([a-z_]+)(?:\\{${label}(?:,${label})*\\})? (\\S+)$`).exec(
      line,
    )
    const [, family = '', value] = sample ?? []
    if (!families.has(family) || Number.isNaN(Number(value))) throw new Error(line)
    samples.set(line.slice(0, line.lastIndexOf(' ')), Number(value))
  }
  return samples
}
