import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import express from 'express'
import fastify from 'fastify'
import t from 'tap'
import type { Auth } from '../../lib/auth/auth.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import type { Farm } from '../../lib/member/farm.ts'
import { expressAuth, expressLogout } from '../../plugins/express.ts'
import { fastifyAuth, fastifyLogout } from '../../plugins/fastify.ts'
import { SessionClient } from '../fixtures/auth/farm.ts'
import { openLong } from '../fixtures/auth/long-exchanges.ts'
import { basic } from '../fixtures/auth/world.ts'
import { certificateFor, type TeardownScope } from '../fixtures/tls/servers.ts'
import { until } from '../fixtures/until.ts'

/* What a revocation or a log-out ends, behind Express and Fastify. */

const verify = (_user: string, given: string) => given === 'word'

interface Served {
  readonly farm: Farm
  readonly auth: Auth
  readonly port: number
}

const apps: { readonly [name: string]: (t: TeardownScope) => Promise<Served> } = {
  Express: async t => {
    const { farm, auth } = await member(t)
    const app = express()
    app.use(expressAuth(auth))
    app.get('/long', (_request, response) => {
      response.writeHead(200).write('begun\n')
    })
    app.post('/logout', expressLogout(auth), (_request, response) => {
      response.end('bye')
    })
    const { key, cert } = await certificateFor('localhost')
    const server = createServer({ key, cert }, app)
    farm.attach(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    return { farm, auth, port: (server.address() as AddressInfo).port }
  },
  Fastify: async t => {
    const { farm, auth } = await member(t)
    const { key, cert } = await certificateFor('localhost')
    const app = fastify({ https: { key, cert }, forceCloseConnections: true })
    await app.register(fastifyAuth, { auth })
    app.get('/long', (_request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200).write('begun\n')
    })
    app.post('/logout', async (request, reply) => {
      await fastifyLogout(auth, request, reply)
      return 'bye'
    })
    farm.attach(app.server as unknown as Server)
    await app.listen({ port: 0, host: '127.0.0.1' })
    t.teardown(() => app.close())
    return { farm, auth, port: (app.server.address() as AddressInfo).port }
  },
}

for (const [name, serve] of Object.entries(apps)) {
  t.test(`${name}: a running request ends with its user's revocation`, async t => {
    const { farm, port } = await serve(t)
    const [ann, bob] = await Promise.all(
      ['ann', 'bob'].map(user => {
        const headers = basic(user, 'word')
        return openLong('request of HTTP/1.1', { port, headers, tls: {} })
      }),
    )
    t.teardown(() => bob?.close())
    t.match(await farm.revoke({ user: 'ann' }), { everywhere: true })
    await until(() => ann?.ended() === true)
    t.equal(bob?.ended(), false)
  })

  t.test(`${name}: a log-out ends what else is open, and is answered`, async t => {
    const { port } = await serve(t)
    const headers = basic('ann', 'word')
    const client = new SessionClient()
    await client.once(port, headers, { path: '/nowhere' })
    const tls = { session: client.session }
    const open = await openLong('request of HTTP/1.1', { port, headers, tls })
    const bye = await client.once(port, headers, { method: 'POST', path: '/logout' })
    t.match(bye, { status: 200, text: 'bye' })
    await until(() => open.ended())
  })
}

async function member(t: TeardownScope): Promise<{ farm: Farm; auth: Auth }> {
  const farm = await createFarm()
  t.teardown(() => farm.close())
  return { farm, auth: farm.auth({ basic: verify }).auth }
}
