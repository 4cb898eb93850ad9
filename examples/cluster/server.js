import cluster from 'node:cluster'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { createFarm } from 'handfast'

/** The primary starts workers, and others in place of those that end unasked. */
function primary() {
  let ending = false
  for (let count = 0; count < 4; count++) cluster.fork()
  cluster.on('exit', () => {
    if (!ending) setTimeout(() => cluster.fork(), 1_000)
  })
  process.once('SIGTERM', () => {
    ending = true
    for (const worker of Object.values(cluster.workers ?? {})) worker?.kill('SIGTERM')
  })
}

/** The workers of a host find each other by themselves. */
async function worker() {
  const farm = await createFarm()
  const key = readFileSync('certs/localhost.key')
  const cert = readFileSync('certs/localhost.crt')
  const server = createServer({ key, cert }, (request, response) => {
    const handshake = farm.handshake(request.socket)
    response.end(`${process.pid} ${handshake?.resumed || 'full'}\n`)
  })
  farm.attach(server)
  server.listen(8443)
  process.once('SIGTERM', () => {
    server.close(async () => {
      await farm.close()
      process.disconnect()
    })
  })
}

await (cluster.isPrimary ? primary() : worker())
