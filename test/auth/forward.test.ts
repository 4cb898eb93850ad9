import { randomBytes } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import t, { type Test } from 'tap'
import type { Auth } from '../../lib/auth/auth.ts'
import type { AuthOptions } from '../../lib/auth/options.ts'
import type { AuthRequest } from '../../lib/auth/request/request.ts'
import { tables } from '../../lib/record/key.ts'
import { basic, connection, request, shortly, World } from '../fixtures/auth/world.ts'
import { listening } from '../fixtures/tls/servers.ts'

/* A yes of the other server is about one request, and not about who makes it. */

const ann = { cookie: 'sso=ann' }
const bob = { cookie: 'sso=bob' }

/** A server that lets bob see all, and everybody else what is public. */
async function guarded(t: Test, options: Partial<AuthOptions['forward']> = {}) {
  const questions: IncomingHttpHeaders[] = []
  const server = createServer((question, response) => {
    const { headers } = question
    questions.push(headers)
    const [, user] = /^sso=(\w+)$/.exec(headers.cookie ?? '') ?? []
    const path = String(headers['x-forwarded-uri'])
    const allowed =
      headers['x-forwarded-method'] === 'GET' &&
      headers['x-forwarded-host'] === 'shop.example' &&
      path.startsWith('/public')
    const status = user === undefined ? 401 : user === 'bob' || allowed ? 200 : 403
    response.writeHead(status, { 'x-forwarded-user': user ?? 'nobody' }).end()
  })
  const url = `http://127.0.0.1:${await listening(t, server)}/`
  const world = new World()
  const given = { forward: { url, ...options } }
  const a = world.member(given)
  const b = world.member(given)
  t.teardown(() => Promise.all([a.close(), b.close()]))
  const lineage = randomBytes(32)
  const originalAt = world.clock.now()
  const onA = connection(world.clock, { lineage, originalAt })
  const onB = connection(world.clock, { lineage, originalAt, resumed: 'peer' })
  const ask = async (
    path: string,
    headers: Record<string, string> = ann,
    given: { method?: string; auth?: Auth; socket?: object } = {},
  ) => {
    const { method = 'GET', auth = a } = given
    const { socket = auth === a ? onA : onB } = given
    return shortly(
      await auth.authenticate(request(socket, headers, { url: path, method })),
    )
  }
  return { world, a, b, onA, onB, ask, asked: () => questions.length, questions, url }
}

t.test('behind a trusted balancer it is told where the client is', async t => {
  const { world, questions, url } = await guarded(t)
  const address = ({ headers }: AuthRequest) => String(headers['x-forwarded-for'])
  const auth = world.member({ forward: { url }, address })
  t.teardown(() => auth.close())
  const socket = connection(world.clock, { address: '10.0.0.1' })
  const from = async (client: string) => {
    const headers = { ...ann, 'x-forwarded-for': client }
    return shortly(await auth.authenticate(request(socket, headers, { url: '/public' })))
  }
  t.equal(await from('192.0.2.7'), 'ann')
  t.equal(await from('192.0.2.7'), 'ann')
  t.equal(await from('192.0.2.8'), 'ann', 'another client is another question')
  t.same(
    questions.map(headers => headers['x-forwarded-for']),
    ['192.0.2.7', '192.0.2.8'],
  )
})

t.test('a yes for one page opens no other', async t => {
  const { b, ask, asked } = await guarded(t)
  t.equal(await ask('/public'), 'ann')
  t.equal(await ask('/admin'), 403)
  t.equal(await ask('/public?x=1'), 'ann', 'a query is part of it')
  t.equal(asked(), 3)
  t.equal(await ask('/public', ann, { method: 'POST' }), 403)
  t.equal(await ask('/public', { ...ann, host: 'admin.example' }), 403)
  t.equal(await ask('/admin', ann, { auth: b }), 403, 'nor on another member')
  t.equal(await ask('/public', {}), 401, 'nor for a stranger on the session')
  t.equal(await ask('/public', { cookie: 'sso=carl' }), 'carl')
  t.equal(await ask('/public', { ...ann, ...basic('ann', 'x') }), 'ann')
  t.equal(asked(), 9, 'each was asked about')
  t.equal(await ask('/admin', bob), 'bob')
  t.equal(await ask('/admin'), 403, 'and a yes to another is none')
})

t.test('the same question is asked once for the farm, for a while', async t => {
  const { world, b, ask, asked } = await guarded(t, { ttl: 60_000 })
  for (let i = 0; i < 3; i++) {
    t.equal(await ask('/public'), 'ann')
    t.equal(await ask('/public', ann, { auth: b }), 'ann')
  }
  t.equal(asked(), 1)
  const elsewhere = connection(world.clock)
  t.equal(await ask('/public', ann, { socket: elsewhere }), 'ann')
  t.equal(asked(), 2, 'and for another session')
  const moved = connection(world.clock, { address: '192.0.2.9' })
  t.equal(await ask('/public', ann, { socket: moved }), 'ann')
  t.equal(asked(), 3, 'and for another address, which it is told')
  t.equal(await ask('/public', { ...ann, 'x-other': 'y' }), 'ann')
  t.equal(asked(), 3, 'what it is not told does not matter')
  world.clock.advance(60_000)
  t.equal(await ask('/public'), 'ann')
  t.equal(asked(), 4)
})

t.test('a no is never remembered', async t => {
  const { ask, asked } = await guarded(t)
  for (let i = 1; i <= 3; i++) {
    t.equal(await ask('/admin'), 403)
    t.equal(asked(), i)
  }
})

t.test('it is asked each time where it is to be', async t => {
  const { ask, asked } = await guarded(t, { remember: false })
  for (let i = 1; i <= 3; i++) {
    t.equal(await ask('/public'), 'ann')
    t.equal(asked(), i)
  }
})

t.test('a yes is no log-in for the session, whatever tells a user', async t => {
  const { world, onB, ask, url } = await guarded(t)
  const options = { forward: { url }, rememberBy: 'tls-session' } as const
  const member = world.member(options)
  t.teardown(() => member.close())
  t.equal(await ask('/public', ann, { auth: member, socket: onB }), 'ann')
  t.equal(await ask('/public', {}, { auth: member, socket: onB }), 401)
  t.equal(await ask('/admin', ann, { auth: member, socket: onB }), 403)
})

t.test('a client that varies its question does not fill the table', async t => {
  const { world, ask, asked } = await guarded(t)
  for (let i = 0; i < 600; i++) t.equal(await ask(`/public?${i}`), 'ann')
  t.equal(asked(), 600)
  const records = world.records(0).filter(({ table }) => table === tables.auth)
  t.ok(records.length > 100 && records.length <= 260, `${records.length}`)
})

t.test('a password that the browser keeps counts for no foreign page', async t => {
  const { ask, asked } = await guarded(t)
  const foreign = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }
  const kept = { ...foreign, ...basic('ann', 'x') }
  t.equal(await ask('/public', { ...kept, ...ann }), 403)
  t.equal(asked(), 0, 'and is not passed on')
  t.equal(await ask('/public', { ...foreign, ...ann, authorization: 'Bearer x' }), 'ann')
  t.equal(asked(), 1, 'unlike what a script must know')
})
