import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { Events } from '../../lib/admin/events.ts'
import { systemClock } from '../../lib/clock.ts'
import { token, world } from '../fixtures/admin/world.ts'
import { listening } from '../fixtures/tls/servers.ts'
import { until } from '../fixtures/until.ts'

/** The events of a listener, as they come. */
async function listen(port: number): Promise<IncomingMessage & { text: string }> {
  const asked = request({ port, host: '127.0.0.1', path: '/events', agent: false })
  asked.on('error', () => {})
  asked.end()
  const [answer] = await once(asked, 'response')
  answer.text = ''
  answer.setEncoding('utf8')
  answer.on('data', (chunk: string) => {
    answer.text += chunk
  })
  answer.on('error', () => {})
  return answer
}

t.test('who listens is told what was, and then the status over and over', async t => {
  const { admin, farm } = await world(t)
  const events = await listen(admin.port)
  t.equal(events.headers['content-type'], 'text/event-stream')
  const told = () => events.text.split('\n\n').filter(text => /^event: status/.test(text))
  await until(() => told().length >= 2)
  t.match(events.text, /^retry: \d+\n\nevent: history\ndata: \[/)
  const [first = ''] = told()
  t.match(JSON.parse(first.slice(first.indexOf('{'))), {
    farm: farm.name,
    handshakes: { full: 0 },
    farmWide: { members: [{ id: String }] },
  })
  events.destroy()
})

t.test('many listeners: the oldest makes room', async t => {
  const { admin, ask } = await world(t)
  const listeners: Awaited<ReturnType<typeof listen>>[] = []
  for (let i = 0; i < 35; i++) listeners.push(await listen(admin.port))
  await until(() => listeners.slice(0, 3).every(({ destroyed }) => destroyed))
  const last = listeners.at(-1)
  await until(() => last?.text.includes('event: status') === true)
  t.equal(listeners.filter(({ destroyed }) => !destroyed).length, 32)
  t.equal((await ask('GET', '/status')).status, 200)
})

t.test('one that does not read is let go', async t => {
  const big = 'x'.repeat(8 * 1024 * 1024)
  const events = new Events({
    clock: systemClock,
    history: () => [],
    status: async () => ({ big }),
  })
  const server = createServer((_request, response) => events.listen(response))
  const port = await listening(t, server)
  t.teardown(() => events.close())
  const socket = connect({ port, host: '127.0.0.1' })
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await until(() => events.size === 1)
  await until(() => events.size === 0)
  t.pass('it is gone')
})

t.test('the page runs its own script, and no other', async t => {
  const { ask } = await world(t)
  const { status, headers, body } = await ask('GET', '/')
  t.equal(status, 200)
  const policy = String(headers['content-security-policy'])
  t.match(policy, /default-src 'none'/)
  t.match(policy, /frame-ancestors 'none'/)
  t.notMatch(policy, /unsafe/)
  for (const tag of ['script', 'style']) {
    const [, inside = '', ...more] = body.split(new RegExp(`<${tag}>|</${tag}>`))
    t.equal(more.length, 1, `one ${tag}`)
    const digest = createHash('sha256').update(inside).digest('base64')
    t.ok(policy.includes(`${tag}-src 'sha256-${digest}'`), tag)
  }
  // Nothing from elsewhere, and nothing that would make markup of a text.
  t.notMatch(
    body,
    /https?:\/\/(?!www\.w3\.org)|innerHTML|outerHTML|insertAdjacent|eval\(/,
  )
  t.notMatch(body, / style=| on[a-z]+=/)
})

t.test('what another site asks is refused, but a link to the page', async t => {
  const { ask } = await world(t, { token })
  for (const site of ['cross-site', 'same-site']) {
    for (const path of ['/status', '/events', '/metrics', '/revocations', '/']) {
      const headers = { 'sec-fetch-site': site, 'sec-fetch-mode': 'cors' }
      t.equal((await ask('GET', path, { headers })).status, 403, path)
    }
    const headers = { 'sec-fetch-site': site, 'sec-fetch-mode': 'navigate' }
    t.equal((await ask('GET', '/', { headers })).status, 200)
    t.equal((await ask('GET', '/status', { headers })).status, 403)
    t.equal((await ask('POST', '/revoke', { headers, body: '{}' })).status, 403)
  }
})
