import { readFileSync } from 'node:fs'
import fastify from 'fastify'
import { createFarm } from 'handfast'

const farm = await createFarm({
  secret: process.env.HANDFAST_SECRET,
  listen: { port: 7443 },
  members: process.env.MEMBERS?.split(',') ?? [],
})

const key = readFileSync('certs/localhost.key')
const cert = readFileSync('certs/localhost.crt')
const app = fastify({ https: { key, cert } })
app.get(
  '/',
  async request => `${farm.handshake(request.raw.socket)?.resumed || 'full'}\n`,
)

farm.attach(app.server)
app.addHook('onClose', () => farm.close())
await app.listen({ port: 8443 })

process.once('SIGTERM', () => app.close())
