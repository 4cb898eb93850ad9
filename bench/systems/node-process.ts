import { constants, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import type { TierMaker } from '../../lib/cache/tier.ts'
import type { MemberMessage, NodeMember } from './node-member.ts'
import { openSessionStore } from './redis-session-store.ts'

/** Entry of a Node server process. Every kind answers requests with the same code. */
process.on('message', (message: NodeMember | { kind: 'cpu' }) => {
  if ('kind' in message) {
    const { user, system } = process.cpuUsage()
    say({ kind: 'cpu', used: (user + system) / 1000 })
    return
  }
  serve(message).then(
    ({ servers, detail }) => {
      const ports = servers.map(server => (server.address() as AddressInfo).port)
      say({ kind: 'ready', ports, ...(detail === undefined ? {} : { detail }) })
    },
    error => say({ kind: 'failed', message: String(error?.message ?? error) }),
  )
})
process.on('disconnect', () => process.exit(0))

interface Serving {
  readonly servers: Server[]
  readonly detail?: string
}

async function serve({ tls, sharing }: NodeMember): Promise<Serving> {
  switch (sharing.kind) {
    case 'handfast': {
      // Here, so that the other kinds do not carry it.
      const { createFarm } = await import('../../lib/member/create-farm.ts')
      const { secret, port, members, host, redis: url } = sharing
      const tiers = url === undefined ? [] : [await redisTier(url)]
      const farm = await createFarm({
        tiers,
        secret,
        ...(port !== undefined && { listen: { host: '127.0.0.1', port }, members }),
        ...(host !== undefined && { host }),
      })
      const server = createServer(tls, answer)
      farm.attach(server, { resumption: sharing.mode })
      // The members agree on the keys of sealed tickets in the first seconds.
      if (sharing.mode === 'auto') await setTimeout(agreement)
      return { servers: [await listening(server)] }
    }
    case 'map': {
      const sessions = new Map<string, Buffer>()
      const servers: Server[] = []
      for (let number = 0; number < sharing.servers; number++) {
        const server = createServer(withIds(tls), answer)
        server.on('newSession', (id: Buffer, session: Buffer, done: () => void) => {
          sessions.set(id.toString('latin1'), session)
          done()
        })
        server.on('resumeSession', (id: Buffer, done: ResumeCallback) => {
          done(null, sessions.get(id.toString('latin1')) ?? null)
        })
        servers.push(await listening(server))
      }
      return { servers }
    }
    case 'tickets': {
      const ticketKeys = Buffer.from(sharing.keys, 'base64')
      const server = createServer({ ...tls, ticketKeys, sessionIdContext }, answer)
      return { servers: [await listening(server)] }
    }
    case 'hook': {
      const server = createServer({ ...tls, sessionIdContext }, answer)
      renewTickets(server, Buffer.from(sharing.keys, 'base64'))
      return { servers: [await listening(server)] }
    }
    case 'redis': {
      const store = await openSessionStore(sharing.port)
      const server = createServer(withIds(tls), answer)
      server.on('newSession', (id: Buffer, session: Buffer, done: () => void) => {
        store.set(id, session).then(done, done)
      })
      server.on('resumeSession', (id: Buffer, done: ResumeCallback) => {
        store.get(id).then(
          session => done(null, session),
          () => done(null, null),
        )
      })
      return { servers: [await listening(server)], detail: store.client }
    }
  }
}

async function redisTier(url: string): Promise<TierMaker> {
  const { redis } = await import('../../plugins/redis/index.ts')
  return redis(url)
}

type ResumeCallback = (error: Error | null, session: Buffer | null) => void

const sessionIdContext = 'bench'
/** Milliseconds. */
const agreement = 10_000

/** Without this option TLS 1.2 gives tickets too, and the session events are never asked. */
function withIds(tls: NodeMember['tls']): object {
  return { ...tls, sessionIdContext, secureOptions: constants.SSL_OP_NO_TICKET }
}

/** As others do who want single-use tickets to resume for ever. Not documented. */
function renewTickets(server: Server, keys: Buffer): void {
  const { context } = (server as unknown as { _sharedCreds: { context: TicketHook } })
    ._sharedCreds
  const [name, hmac, aes] = [
    keys.subarray(0, 16),
    keys.subarray(16, 32),
    keys.subarray(32),
  ]
  const renewed = [2, hmac, aes]
  context.onticketkeycallback = (_name, _iv, sealing) =>
    sealing ? [1, hmac, aes, name, randomBytes(16)] : renewed
  context.enableTicketKeyCallback()
}

interface TicketHook {
  enableTicketKeyCallback(): void
  onticketkeycallback(name: Buffer, iv: Buffer, sealing: boolean): readonly unknown[]
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const resumed = (request.socket as TLSSocket).isSessionReused()
  response.writeHead(200, {
    'x-resumed': resumed ? 'yes' : 'no',
    'content-length': '3',
  })
  response.end('ok\n')
}

async function listening(server: Server): Promise<Server> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

function say(message: MemberMessage): void {
  process.send?.(message)
}
