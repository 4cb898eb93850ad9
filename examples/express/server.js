import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import express from 'express'
import { createFarm } from 'handfast'
import 'handfast/express'

const farm = await createFarm({
  secret: process.env.HANDFAST_SECRET,
  listen: { port: 7443 },
  members: process.env.MEMBERS?.split(',') ?? [],
})

const app = express()
app.get('/', (request, response) => {
  const handshake = farm.handshake(request.socket)
  response.send(`${handshake?.resumed || 'full'}\n`)
})

const key = readFileSync('certs/localhost.key')
const cert = readFileSync('certs/localhost.crt')
const server = createServer({ key, cert }, app)
farm.attach(server)
server.listen(8443)

process.once('SIGTERM', () => server.close(() => farm.close()))
