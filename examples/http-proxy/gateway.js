import { readFileSync } from 'node:fs'
import { createFarm } from 'handfast'
import { attachHttpProxy } from 'handfast/http-proxy'
import httpProxy from 'http-proxy'

const farm = await createFarm({
  secret: process.env.HANDFAST_SECRET,
  listen: { port: 7443 },
  members: process.env.MEMBERS?.split(',') ?? [],
})

const gateway = httpProxy.createServer({
  target: process.env.BACKEND ?? 'http://127.0.0.1:3000',
  ssl: {
    key: readFileSync('certs/localhost.key'),
    cert: readFileSync('certs/localhost.crt'),
  },
  ws: true,
  xfwd: true,
})
// Without this, a backend that is not there ends the process.
gateway.on('error', (_error, _request, response) => {
  if ('writeHead' in response) response.writeHead(502).end('no backend\n')
  else response.destroy()
})
attachHttpProxy(farm, gateway)
gateway.listen(8443)

process.once('SIGTERM', () => gateway.close(() => farm.close()))
