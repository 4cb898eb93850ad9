import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { Kind } from './kinds.ts'

const timeout = 5_000

export interface Visit {
  readonly resumed: boolean
  /** From the first byte of the hello to the end of the handshake, on the client's side. */
  readonly milliseconds: number
  /** Bytes from the server up to then. */
  readonly bytes: number
  /** What the server gave for the next visit. */
  readonly session: Buffer | undefined
}

export interface VisitOptions {
  readonly port: number
  readonly kind: Kind
  /** PEM of the certificate to trust. */
  readonly ca: string
  readonly session?: Buffer | undefined
}

/** One connection and one request, as a browser that comes for the first or second time. */
export async function visit(options: VisitOptions): Promise<Visit> {
  const { port, kind, ca, session } = options
  const signal = AbortSignal.timeout(timeout)
  const raw = connectTcp({ host: '127.0.0.1', port, noDelay: true, signal })
  raw.on('error', () => {})
  try {
    await once(raw, 'connect', { signal })
    const began = performance.now()
    const socket = connectTls({
      socket: raw,
      servername: 'localhost',
      ca,
      minVersion: kind.version,
      maxVersion: kind.version,
      ALPNProtocols: ['http/1.1'],
      ...(session === undefined ? {} : { session }),
    })
    let given: Buffer | undefined
    socket.on('session', (next: Buffer) => {
      given ??= next
    })
    await once(socket, 'secureConnect', { signal })
    const milliseconds = performance.now() - began
    const bytes = raw.bytesRead
    await request(socket, port, signal)
    return { resumed: socket.isSessionReused(), milliseconds, bytes, session: given }
  } finally {
    raw.destroy()
  }
}

async function request(
  socket: TLSSocket,
  port: number,
  signal: AbortSignal,
): Promise<void> {
  let answer = ''
  socket.setEncoding('utf8').on('data', (text: string) => {
    answer += text
  })
  socket.write(`GET / HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`)
  await once(socket, 'end', { signal })
  if (!answer.startsWith('HTTP/1.1 200 ')) {
    throw new Error(`proxy on port ${port} answered: ${answer.split('\r\n')[0]}`)
  }
}
