import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'

/** Connections of HTTP/1.1 over TLS, on each of which one request follows the other. */
export class Requests {
  readonly #sockets: readonly TLSSocket[]

  static async open(host: string, port: number, connections: number): Promise<Requests> {
    const options = { host, port, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] }
    const sockets = Array.from({ length: connections }, () => connect(options))
    await Promise.all(sockets.map(socket => once(socket, 'secureConnect')))
    return new Requests(sockets)
  }

  private constructor(sockets: readonly TLSSocket[]) {
    this.#sockets = sockets
  }

  /** So many requests in all, for `/LENGTH`. How long each took, ms. */
  async ask(length: number, requests: number): Promise<number[]> {
    const times: number[] = []
    let left = requests
    await Promise.all(
      this.#sockets.map(async socket => {
        while (left-- > 0) {
          const begun = performance.now()
          await answer(socket, length)
          times.push(performance.now() - begun)
        }
      }),
    )
    return times
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

/** The same with a connection for each request, `most` at once; its handshake counts as well. */
export async function onNewConnections(
  host: string,
  port: number,
  most: number,
  length: number,
  requests: number,
): Promise<number[]> {
  const times: number[] = []
  let left = requests
  await Promise.all(
    Array.from({ length: most }, async () => {
      while (left-- > 0) {
        const begun = performance.now()
        const one = await Requests.open(host, port, 1)
        await one.ask(length, 1)
        times.push(performance.now() - begun)
        one.close()
      }
    }),
  )
  return times
}

function answer(socket: TLSSocket, length: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let head = ''
    let missing = Infinity
    const onData = (chunk: Buffer) => {
      if (missing === Infinity) {
        head += chunk.toString('latin1')
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) return
        missing = length - (head.length - end - 4)
      } else missing -= chunk.length
      if (missing > 0) return
      socket.off('data', onData)
      socket.off('close', onClose)
      resolve()
    }
    const onClose = () => reject(new Error('the connection was closed'))
    socket.on('data', onData)
    socket.on('close', onClose)
    socket.write(`GET /${length} HTTP/1.1\r\nHost: bench.test\r\n\r\n`)
  })
}
