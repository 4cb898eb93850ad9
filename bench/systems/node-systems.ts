import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { generateSecret } from '../../lib/farm/secret.ts'
import type { Identities } from '../certificates/identity.ts'
import { forkChild, freePorts, stopChild } from '../harness/child.ts'
import { treeCpu } from '../harness/process-cpu.ts'
import type { MemberMessage, NodeMember, Sharing } from './node-member.ts'
import { findProgram } from './program.ts'
import { type Store, startRedis } from './store.ts'
import type { RunningSystem, StartOptions, System } from './system.ts'

/** Generous: a busy machine may take long to compile nine processes. */
const startTimeout = 60_000

export const handfast: System = {
  name: 'handfast',
  about: 'Node https, each member a host of one process, farm.attach(server)',
  modes: ['1.2-id', '1.3-stateless'],
  mustResume: true,
  missing: () => undefined,
  start: options => startFarm(options, 'auto'),
}

export const handfastStateful: System = {
  name: 'handfast-stateful',
  about:
    "the same with resumption: 'stateful', TLS 1.3 sessions in the farm's table, too",
  modes: ['1.3-stateful'],
  mustResume: true,
  missing: () => undefined,
  start: options => startFarm(options, 'stateful'),
}

/** As the workers of a node:cluster: one member, and their sessions in memory that all see. */
export const handfastWorkers: System = {
  name: 'handfast-workers',
  about: 'the same, all processes on one host: a hub, and a shelf of sessions',
  modes: ['1.2-id', '1.3-stateless'],
  mustResume: true,
  missing: () => undefined,
  start: options => startHosts(options, 1, options.members),
}

export const handfastHosts: System = {
  name: 'handfast-hosts',
  about: 'the same, each member a host of two processes',
  modes: ['1.2-id', '1.3-stateless'],
  mustResume: true,
  missing: () => undefined,
  start: options => startHosts(options, options.members, 2),
}

/** What `node-redis` is replaced by: the same Redis, behind memory that all processes see. */
export const handfastRedis: System = {
  name: 'handfast-redis',
  about: 'one host: a hub, a shelf of sessions, and a Redis under it',
  modes: ['1.2-id'],
  mustResume: true,
  missing: () => findProgram('redis-server', 'valkey-server').missing,
  async start(options) {
    const redis = await startRedis(options.folder)
    const url = `redis://127.0.0.1:${redis.port}`
    return await withStore(redis, () => startHosts(options, 1, options.members, url))
  },
}

async function startHosts(
  options: StartOptions,
  hosts: number,
  processes: number,
  redis?: string,
): Promise<RunningSystem> {
  const secret = generateSecret()
  const ports = hosts > 1 ? await freePorts(hosts) : []
  const sharings = await Promise.all(
    Array.from({ length: hosts }, async (_, own): Promise<Sharing> => {
      const host = join(options.folder, `host${own}`)
      await mkdir(host, { mode: 0o700 })
      const members = ports
        .filter((_, index) => index !== own)
        .map(port => `127.0.0.1:${port}`)
      const port = ports[own]
      const listen = port === undefined ? {} : { port }
      const tier = redis === undefined ? {} : { redis }
      return { kind: 'handfast', secret, members, mode: 'auto', host, ...listen, ...tier }
    }),
  )
  return await startMembers(
    options,
    sharings.flatMap(sharing => Array.from({ length: processes }, () => sharing)),
  )
}

async function startFarm(
  options: StartOptions,
  mode: 'auto' | 'stateful',
): Promise<RunningSystem> {
  const secret = generateSecret()
  const ports = await freePorts(options.members)
  const addresses = ports.map(port => `127.0.0.1:${port}`)
  return await startMembers(
    options,
    ports.map((port, own) => ({
      kind: 'handfast',
      secret,
      port,
      members: addresses.filter((_, index) => index !== own),
      mode,
    })),
  )
}

export const nodeMap: System = {
  name: 'node-map',
  about: 'Node https, all servers in one process, sessions in a Map: the floor',
  modes: ['1.2-id'],
  mustResume: true,
  missing: () => undefined,
  start: options => startMembers(options, [{ kind: 'map', servers: options.members }]),
}

export const nodeOwn: System = {
  name: 'node-own',
  about: 'Node https, each member a process with a Map of its own: the floor per process',
  modes: ['1.2-id'],
  alone: true,
  mustResume: true,
  missing: () => undefined,
  start(options) {
    const sharing: Sharing = { kind: 'map', servers: 1 }
    return startMembers(
      options,
      Array.from({ length: options.members }, () => sharing),
    )
  },
}

export const nodeTickets: System = {
  name: 'node-tickets',
  about: 'Node https, each member a process, the same ticketKeys',
  modes: ['1.2-ticket', '1.3-stateless'],
  mustResume: false,
  missing: () => undefined,
  start(options) {
    const keys = randomBytes(48).toString('base64')
    const sharing: Sharing = { kind: 'tickets', keys }
    return startMembers(
      options,
      Array.from({ length: options.members }, () => sharing),
    )
  },
}

export const nodeHook: System = {
  name: 'node-hook',
  about: "Node https, the same keys by Node's hook, which renews what resumes",
  modes: ['1.3-stateless'],
  mustResume: false,
  missing: () => undefined,
  start(options) {
    const keys = randomBytes(48).toString('base64')
    const sharing: Sharing = { kind: 'hook', keys }
    return startMembers(
      options,
      Array.from({ length: options.members }, () => sharing),
    )
  },
}

export const nodeRedis: System = {
  name: 'node-redis',
  about: 'Node https, each member a process, sessions in one Redis',
  modes: ['1.2-id'],
  mustResume: false,
  missing: () => findProgram('redis-server', 'valkey-server').missing,
  async start(options) {
    const redis = await startRedis(options.folder)
    const sharing: Sharing = { kind: 'redis', port: redis.port }
    const sharings = Array.from({ length: options.members }, () => sharing)
    return await withStore(redis, () => startMembers(options, sharings))
  },
}

/** The store is a part of the system: its processor time counts, and it ends with it. */
async function withStore(
  store: Store,
  start: () => Promise<RunningSystem>,
): Promise<RunningSystem> {
  try {
    const members = await start()
    return {
      ...members,
      configs: [...members.configs, store.config],
      async cpu() {
        const used = await members.cpu()
        const stored = store.cpu()
        return used === undefined || stored === undefined ? undefined : used + stored
      },
      async close() {
        await members.close()
        await store.close()
      },
    }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** One process per entry; together they are the farm. */
async function startMembers(
  { identities }: StartOptions,
  sharings: readonly Sharing[],
): Promise<RunningSystem> {
  const tls = serverOptions(identities)
  const children: ChildProcess[] = []
  const ports: number[] = []
  const details = new Set<string>()
  const close = async (): Promise<void> => {
    await Promise.all(children.map(stopChild))
  }
  try {
    // All at once: members of a farm wait for one another.
    const ready = sharings.map(sharing => {
      const child = forkChild(new URL('./node-process.ts', import.meta.url))
      children.push(child)
      child.send({ tls, sharing } satisfies NodeMember)
      return answerOf(child, 'ready')
    })
    for (const answer of await Promise.all(ready)) {
      ports.push(...answer.ports)
      if (answer.detail !== undefined) details.add(answer.detail)
    }
  } catch (error) {
    await close()
    throw error
  }
  return {
    ports,
    configs: [{ name: 'sharing', text: describe(sharings, details) }],
    async cpu() {
      const used = await Promise.all(children.map(childCpu))
      return used.reduce((sum, one) => sum + one, 0)
    },
    close,
  }
}

/** From /proc where there is one, else as the process itself counts it. */
async function childCpu(child: ChildProcess): Promise<number> {
  const used = treeCpu(child.pid as number)
  if (used !== undefined) return used
  child.send({ kind: 'cpu' })
  return (await answerOf(child, 'cpu')).used
}

function answerOf<Kind extends MemberMessage['kind']>(
  child: ChildProcess,
  kind: Kind,
): Promise<Extract<MemberMessage, { kind: Kind }>> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      clearTimeout(timer)
      child.off('message', onMessage)
      child.off('exit', onExit)
      if (error !== undefined) reject(error)
    }
    const onMessage = (message: MemberMessage): void => {
      if (message.kind === 'failed') settle(new Error(message.message))
      if (message.kind !== kind) return
      settle()
      resolve(message as Extract<MemberMessage, { kind: Kind }>)
    }
    const onExit = (code: number | null): void =>
      settle(new Error(`a server process ended with code ${code}`))
    const timer = setTimeout(
      () => settle(new Error(`a server did not answer within ${startTimeout} ms`)),
      startTimeout,
    )
    child.on('message', onMessage)
    child.on('exit', onExit)
  })
}

function serverOptions({ server, client }: Identities): NodeMember['tls'] {
  return client === undefined
    ? server
    : { ...server, ca: client.ca, requestCert: true, rejectUnauthorized: true }
}

/** Without what is secret. */
function describe(sharings: readonly Sharing[], details: ReadonlySet<string>): string {
  const lines = sharings.map(sharing =>
    JSON.stringify({ ...sharing, secret: undefined, keys: undefined }),
  )
  return `${[...lines, ...details].join('\n')}\n`
}
