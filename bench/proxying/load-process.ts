import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect, type TLSSocket } from 'node:tls'
import { serverName } from '../certificates/identity.ts'
import {
  bodyBytes,
  type HoldJob,
  type LoadJob,
  type LoadOutcome,
  type PacedJob,
} from './load.ts'
import { runPaced } from './paced.ts'

/** Entry of the clients: runs one job after the other. */
let ca = ''
const held: TLSSocket[] = []
process.on(
  'message',
  (message: LoadJob | HoldJob | PacedJob | { ca: string } | { release: true }) => {
    if ('ca' in message) {
      ca = message.ca
      return
    }
    answer(message).then(
      outcome => process.send?.(outcome),
      error => {
        process.stderr.write(`${error?.stack ?? error}\n`)
        process.exit(1)
      },
    )
  },
)
process.on('disconnect', () => process.exit(0))

async function answer(
  message: LoadJob | HoldJob | PacedJob | { release: true },
): Promise<object> {
  if ('pace' in message) return await runPaced(message, ca)
  if ('hold' in message) return await hold(message)
  if ('kind' in message) return await run(message)
  const closed = held.map(socket => once(socket, 'close'))
  for (const socket of held.splice(0)) socket.destroy()
  await Promise.all(closed)
  return {}
}

const streamsOfEach = 10
/** Handshakes at a time while connections are opened. */
const opening = 50

/** What is left to do and what came of it, shared by all connections of a job. */
class Tally {
  readonly latencies: number[] = []
  failed = 0
  firstFailure: string | undefined
  #left: number

  constructor(requests: number) {
    this.#left = requests
  }

  /** Whether there is one more request to make. */
  take(): boolean {
    return this.#left-- > 0
  }

  done(began: number): void {
    this.latencies.push(performance.now() - began)
  }

  fail(reason: string): void {
    this.failed++
    this.firstFailure ??= reason
  }
}

async function run(job: LoadJob): Promise<LoadOutcome> {
  const tally = new Tally(job.requests)
  const clients = await openClients(job, tally)
  const began = performance.now()
  await Promise.all(clients.map(client => client.work()))
  const elapsed = performance.now() - began
  for (const client of clients) client.close()
  return {
    done: tally.latencies.length,
    failed: tally.failed,
    firstFailure: tally.firstFailure,
    elapsed,
    latencies: tally.latencies.sort((a, b) => a - b),
  }
}

async function hold({ hold, port, connections }: HoldJob): Promise<object> {
  let left = connections
  const open = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = await tlsTo(port)
      held.push(socket)
      if (hold === 'tls') continue
      socket.write(
        `GET /ws HTTP/1.1\r\nHost: ${serverName}\r\nConnection: Upgrade\r\n` +
          'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
          `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
      )
      const [head] = (await once(socket, 'data')) as [Buffer]
      if (!head.toString('latin1').startsWith('HTTP/1.1 101')) left = 0
    }
  }
  await Promise.all(Array.from({ length: opening }, open))
  return { held: held.length }
}

interface Client {
  work(): Promise<void>
  close(): void
}

async function openClients(job: LoadJob, tally: Tally): Promise<Client[]> {
  const count = (some: number) => Array.from({ length: some })
  switch (job.kind) {
    case 'h1':
      return await Promise.all(
        count(job.concurrency).map(async () => {
          const socket = await tlsTo(job.port)
          const jar = job.cookies === true ? new Jar() : undefined
          return {
            work: async () => {
              while (tally.take()) {
                if (!(await ask(socket, job, tally, true, jar))) return
              }
            },
            close: () => socket.destroy(),
          }
        }),
      )
    case 'h2': {
      const sessions = await Promise.all(
        count(Math.ceil(job.concurrency / streamsOfEach)).map(() => http2To(job.port)),
      )
      return sessions.map(session => ({
        work: async () => {
          const streams = count(streamsOfEach).map(async () => {
            while (tally.take()) await askHttp2(session, job, tally)
          })
          await Promise.all(streams)
        },
        close: () => session.destroy(),
      }))
    }
    case 'new':
      return count(job.concurrency).map(() => ({
        work: async () => {
          while (tally.take()) {
            const began = performance.now()
            const socket = await tlsTo(job.port)
            await ask(socket, job, tally, false, undefined, began)
            socket.destroy()
          }
        },
        close() {},
      }))
  }
}

async function tlsTo(port: number): Promise<TLSSocket> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: serverName,
    ca,
    ALPNProtocols: ['http/1.1'],
  })
  await once(socket, 'secureConnect')
  socket.setNoDelay(true)
  return socket
}

async function http2To(port: number): Promise<ClientHttp2Session> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, {
    servername: serverName,
    ca,
    settings: { initialWindowSize: 4 * bodyBytes.mib },
  })
  await once(session, 'connect')
  session.setLocalWindowSize(64 * bodyBytes.mib)
  return session
}

/** The first cookie that a client was given. */
class Jar {
  /** A line of a header section. */
  field = ''

  take(head: string): void {
    if (this.field !== '') return
    const cookie = /\r\nset-cookie: ([^;\r]*)/i.exec(head)?.[1]
    if (cookie !== undefined) this.field = `Cookie: ${cookie}\r\n`
  }
}

/** One request on a connection; false when that is of no more use. */
function ask(
  socket: TLSSocket,
  { body }: LoadJob,
  tally: Tally,
  keep: boolean,
  jar: Jar | undefined,
  began = performance.now(),
): Promise<boolean> {
  return new Promise(resolve => {
    let head: Buffer | undefined
    let left = -1
    const settle = (failure: string | undefined): void => {
      socket.off('data', onData).off('close', onClose).off('error', onClose)
      if (failure === undefined) tally.done(began)
      else tally.fail(failure)
      resolve(failure === undefined)
    }
    const onClose = (): void => settle('the connection was closed')
    const onData = (chunk: Buffer): void => {
      if (left < 0) {
        head = head === undefined ? chunk : Buffer.concat([head, chunk])
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) return
        const text = head.toString('latin1', 0, end)
        const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1]
        if (!text.startsWith('HTTP/1.1 200') || Number(length) !== bodyBytes[body]) {
          settle(text.split('\r\n', 1)[0])
          return
        }
        jar?.take(text)
        left = bodyBytes[body] - (head.length - end - 4)
      } else left -= chunk.length
      if (left <= 0) settle(undefined)
    }
    socket.on('data', onData).on('close', onClose).on('error', onClose)
    const more = (keep ? '' : 'Connection: close\r\n') + (jar?.field ?? '')
    socket.write(`GET /${body} HTTP/1.1\r\nHost: ${serverName}\r\n${more}\r\n`)
  })
}

function askHttp2(
  session: ClientHttp2Session,
  { body }: LoadJob,
  tally: Tally,
): Promise<void> {
  return new Promise(resolve => {
    const began = performance.now()
    const stream = session.request({ ':path': `/${body}`, ':authority': serverName })
    let left: number = bodyBytes[body]
    let status: number | undefined
    stream.on('response', fields => {
      status = fields[':status']
    })
    stream.on('data', (chunk: Buffer) => {
      left -= chunk.length
    })
    stream.on('error', () => {})
    stream.on('close', () => {
      if (status === 200 && left === 0) tally.done(began)
      else tally.fail(`status ${status}, ${left} bytes missing`)
      resolve()
    })
  })
}
