import { Duplex } from 'node:stream'
import t from 'tap'
import type { ClientConnection } from '../../../lib/proxy/client/client-connection.ts'
import { answer } from '../../../lib/proxy/client/exchange.ts'
import { Http1 } from '../../../lib/proxy/client/http1.ts'
import { SlowClients } from '../../../lib/proxy/client/slow-clients.ts'
import { resolveLimits } from '../../../lib/proxy/limits.ts'

/** Takes an answer, and never the end of the connection: its window is full by then. */
class FullSocket extends Duplex {
  readonly ended: Promise<void>
  #onEnd: () => void = () => {}

  constructor() {
    super()
    this.ended = new Promise(resolve => {
      this.#onEnd = resolve
    })
  }

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done()
  }

  override _final(): void {
    this.#onEnd()
  }

  destroySoon(): void {
    this.end()
    this.once('finish', () => this.destroy())
  }
}

t.test('forbidden: to hold a connection by not taking its end', async t => {
  const socket = new FullSocket()
  const exchanges: ClientConnection['exchanges'] = new Set()
  const connection = { socket, exchanges } as unknown as ClientConnection
  const http1 = new Http1(
    resolveLimits(),
    exchange => answer(exchange, 404, 'Not Found'),
    () => {},
  )
  t.teardown(() => http1.close())
  http1.accept(connection)
  socket.push('GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n')
  await socket.ended
  const slow = new SlowClients()
  slow.check([connection], 0, 1_000)
  t.notOk(socket.destroyed)
  slow.check([connection], 1_000, 1_000)
  t.ok(socket.destroyed)
})
