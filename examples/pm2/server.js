import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { createFarm } from 'handfast'

// In pm2's cluster mode the workers of a host find each other by themselves.
const farm = await createFarm()
const key = readFileSync('certs/localhost.key')
const cert = readFileSync('certs/localhost.crt')
const server = createServer({ key, cert }, (request, response) => {
  const handshake = farm.handshake(request.socket)
  response.end(`${process.pid} ${handshake?.resumed || 'full'}\n`)
})
farm.attach(server)
server.listen(8443, () => process.send?.('ready'))

// pm2 sends SIGINT, other supervisors SIGTERM.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(async () => {
      await farm.close()
      process.exit()
    })
  })
}
