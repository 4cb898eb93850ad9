import { createServer } from 'node:https'
import express from 'express'
import t from 'tap'
import { expressAllow, expressAuth, expressLogout } from '../../plugins/express.ts'
import { authFarm, type MakeServer, SessionClient, told } from '../fixtures/auth/farm.ts'
import { basic } from '../fixtures/auth/world.ts'

let checked = 0
const verify = (user: string, password: string) => {
  checked += 1
  return password === 'right' && { claims: { role: user === 'ann' ? 'admin' : 'guest' } }
}
const asAnn = basic('ann', 'right')
const form = { 'content-type': 'application/x-www-form-urlencoded' }

const make: MakeServer = (auth, tls) => {
  const app = express()
  // Somebody else's middleware in front: a body parser, and a claim of its own.
  app.use(express.urlencoded())
  app.use((request, _response, next) => {
    Object.assign(request, { auth: { subject: 'root' } })
    next()
  })
  app.use(expressAuth(auth))
  app.post('/out', expressLogout(auth, '/bye'))
  app.all('/out', expressLogout(auth))
  app.use(
    '/admin',
    expressAllow(user => user.claims['role'] === 'admin'),
  )
  app.get(['/', '/admin'], (request, response) => {
    response.json(told(request, request.auth))
  })
  return createServer(tls, app)
}

t.test('Express: logged in on A, known on B, logged out on C', async t => {
  const { members } = await authFarm(t, { basic: verify, form: { verify } }, { make })
  const [a, b, c] = members
  const ann = new SessionClient()
  t.equal((await ann.once(a.port)).status, 401, 'whatever stood in request.auth')
  const first = await ann.once(a.port, asAnn)
  t.match(first.told, { auth: { subject: 'ann', claims: { role: 'admin' } } })
  const there = await ann.once(b.port, asAnn, { path: '/admin' })
  t.match(there.told, { auth: { subject: 'ann' }, resumed: /local|peer/ })
  t.equal(checked, 1, 'checked once for the farm')
  t.equal((await ann.once(b.port, {}, { path: '/admin' })).status, 401, 'and shown')
  t.equal((await ann.once(c.port, asAnn, { path: '/out' })).status, 405)
  const out = await ann.once(c.port, asAnn, { path: '/out', method: 'POST' })
  t.match(out, { status: 303, headers: { location: '/bye' } })
  t.equal((await ann.once(b.port, asAnn)).status, 401, 'asked once more')

  await t.test('a user who is not allowed is told so', async t => {
    const bob = new SessionClient()
    t.equal((await bob.once(a.port, basic('bob', 'right'))).status, 200)
    t.equal(
      (await bob.once(b.port, basic('bob', 'right'), { path: '/admin' })).status,
      403,
    )
  })
  await t.test('the form works behind a body parser', async t => {
    const carl = new SessionClient()
    const page = await carl.once(a.port, {}, { path: '/login?to=/admin' })
    const token = /name="token" value="([^"]*)"/.exec(page.text)?.[1] as string
    const fields = { username: 'carl', password: 'right', token, to: '/' }
    const body = String(new URLSearchParams(fields))
    const posted = await carl.once(b.port, form, { method: 'POST', path: '/login', body })
    t.match(posted, { status: 303, headers: { location: '/' } })
    carl.session = undefined
    t.match((await carl.once(c.port)).told, { auth: { subject: 'carl' }, resumed: false })
  })
})

t.test('an error on the way out goes to Express', async t => {
  const failing = { logout: () => Promise.reject(new Error('no')) }
  const logout = expressLogout(failing as never)
  const error = await new Promise(resolve => {
    logout({ method: 'POST' } as never, {} as never, resolve)
  })
  t.match(error, { message: 'no' })
  const going = expressLogout({ logout: async () => true } as never)
  await new Promise(resolve => going({ method: 'POST' } as never, {} as never, resolve))
})
