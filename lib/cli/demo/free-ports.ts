import { once } from 'node:events'
import { createServer } from 'node:net'

/** The first `count` ports from `first` upwards that nobody listens on. */
export async function freePorts(first: number, count: number): Promise<number[]> {
  const ports: number[] = []
  for (let port = first; ports.length < count; port += 1) {
    if (port > 65_535) throw new Error(`no ${count} free ports from ${first} upwards`)
    if (await isFree(port)) ports.push(port)
  }
  return ports
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen({ port, host: '127.0.0.1', exclusive: true })
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
    return true
  } catch {
    return false
  }
}
