import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** Entry of the relay process: adds a round-trip time to everything that passes through. */
process.on('message', ({ ports, rtt }: { ports: number[]; rtt: number }) => {
  Promise.all(ports.map(port => listen(port, rtt))).then(
    relayed => process.send?.({ ports: relayed }),
    error => process.send?.({ error: String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))

async function listen(target: number, rtt: number): Promise<number> {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, client => {
    const upstream = connect({
      port: target,
      host: '127.0.0.1',
      noDelay: true,
      allowHalfOpen: true,
    })
    // TCP's own handshake ended at once, here: the first bytes wait for it.
    delay(client, upstream, rtt / 2, rtt)
    delay(upstream, client, rtt / 2, 0)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Bytes and the end pass `wait` milliseconds late, and nothing before `opening` is over. */
function delay(from: Socket, to: Socket, wait: number, opening: number): void {
  const opened = performance.now() + opening
  const queue: (() => void)[] = []
  const later = (act: () => void): void => {
    // Timers of unlike lengths may fire in another order; what they do may not.
    queue.push(act)
    setTimeout(() => queue.shift()?.(), Math.max(0, opened - performance.now()) + wait)
  }
  from.on('data', chunk => later(() => to.write(chunk)))
  from.on('end', () => later(() => to.end()))
  from.on('error', () => later(() => to.destroy()))
}
