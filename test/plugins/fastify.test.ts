import { fastify } from 'fastify'
import t from 'tap'
import { fastifyAuth, fastifyLogout } from '../../plugins/fastify.ts'
import { authFarm, type MakeServer, SessionClient, told } from '../fixtures/auth/farm.ts'
import { basic } from '../fixtures/auth/world.ts'

let checked = 0
const verify = (_user: string, password: string) => {
  checked += 1
  return password === 'right'
}
const asAnn = basic('ann', 'right')
const form = { 'content-type': 'application/x-www-form-urlencoded' }

const make: MakeServer = async (auth, tls) => {
  const app = fastify({ https: tls })
  await app.register(fastifyAuth, { auth })
  app.get('/', async request => told(request.raw, request.auth ?? undefined))
  app.post('/out', async (request, reply) => ({
    everywhere: await fastifyLogout(auth, request, reply),
    auth: request.auth,
  }))
  await app.ready()
  return app.server as ReturnType<MakeServer>
}

t.test('Fastify: logged in on A, known on B, logged out on C', async t => {
  const options = { basic: verify, form: { verify } }
  const { members } = await authFarm(t, options, { make })
  const [a, b, c] = members
  const ann = new SessionClient()
  t.equal((await ann.once(a.port)).status, 401)
  t.equal((await ann.once(a.port, {}, { path: '/nowhere' })).status, 401, 'nor a 404')
  const first = await ann.once(a.port, asAnn)
  t.match(first.told, { auth: { subject: 'ann', method: 'basic' } })
  const there = await ann.once(b.port, asAnn)
  t.match(there.told, { auth: { subject: 'ann' }, resumed: /local|peer/ })
  t.equal(checked, 1, 'checked once for the farm')
  t.equal((await ann.once(b.port)).status, 401, 'and shown')
  const out = await ann.once(c.port, asAnn, { path: '/out', method: 'POST' })
  t.match(out.text, '{"everywhere":true,"auth":null}')
  t.match(out.headers['set-cookie'], [/^__Host-handfast=; Max-Age=0/])
  t.equal((await ann.once(b.port, asAnn)).status, 401, 'asked once more')

  await t.test('the form is read before Fastify reads bodies', async t => {
    const carl = new SessionClient()
    const page = await carl.once(a.port, {}, { path: '/login' })
    const token = /name="token" value="([^"]*)"/.exec(page.text)?.[1] as string
    const fields = { username: 'carl', password: 'right', token, to: '/' }
    const body = String(new URLSearchParams(fields))
    const posted = await carl.once(b.port, form, { method: 'POST', path: '/login', body })
    t.match(posted, { status: 303, headers: { location: '/' } })
    carl.session = undefined
    t.match((await carl.once(c.port)).told, { auth: { subject: 'carl' }, resumed: false })
  })
})

t.test('Fastify: a request of nobody has a null where nobody need be', async t => {
  const options = { basic: verify, required: false }
  const { members } = await authFarm(t, options, { make })
  t.match((await new SessionClient().once(members[0].port)).told, { auth: null })
})
