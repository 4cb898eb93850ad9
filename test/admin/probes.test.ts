import t from 'tap'
import { world } from '../fixtures/admin/world.ts'

t.test('probes are answered without token, and under any name', async t => {
  let reason: string | undefined
  const { ask } = await world(t, { notReady: () => reason })
  for (const headers of [{}, { host: 'balancer.example' }]) {
    for (const path of ['/healthz', '/readyz']) {
      const { status, body, headers: fields } = await ask('GET', path, { headers })
      t.equal(status, 200)
      t.equal(body, 'ok\n')
      t.equal(fields['cache-control'], 'no-store')
    }
  }
  reason = 'draining'
  t.match(await ask('GET', '/readyz'), { status: 503, body: 'draining\n' })
  t.match(await ask('GET', '/healthz'), { status: 200 }, 'it lives all the same')
  t.match(await ask('HEAD', '/readyz'), { status: 503, body: '' })
  reason = undefined
  t.match(await ask('GET', '/readyz'), { status: 200 })
})

t.test('nothing else is open to all because it looks like a probe', async t => {
  const { ask } = await world(t)
  for (const path of ['/readyz/', '/readyz?x', '/healthz/../status', '/status']) {
    const { status } = await ask('GET', path, { headers: { host: 'evil.example' } })
    t.equal(status, 421, path)
  }
  t.equal((await ask('POST', '/readyz')).status, 404)
})
