import { constants } from 'node:crypto'
import type { Server, ServerOptions } from 'node:https'
import t, { type Test } from 'tap'
import {
  type InstalledTicketKeys,
  installTicketKeys,
} from '../../lib/resumption/ticket/ticket-install.ts'
import { seededRandom } from '../fixtures/random.ts'
import { certificateFor, listening, tellingServer } from '../fixtures/servers.ts'
import { recordingLog, SimulatedFarm, SimulatedTime } from '../fixtures/ticket-farm.ts'
import { visit } from '../fixtures/tls-client.ts'

const hour = 3_600_000
const versions = ['TLSv1.2', 'TLSv1.3'] as const

interface TicketServer {
  readonly server: Server
  readonly port: number
  readonly installed: InstalledTicketKeys
}

interface Setting {
  readonly count?: number
  readonly options?: ServerOptions
  readonly scope?: () => string
  /** Before the keys are installed. */
  readonly prepare?: (server: Server) => void
}

/** Servers of members that share a ring, with a clock of the test's own. */
async function servers(t: Test, setting: Setting = {}) {
  const time = new SimulatedTime(Date.UTC(2026, 2, 1, 9))
  const log = recordingLog()
  const farm = new SimulatedFarm({ time, random: seededRandom(3), log, interval: 20_000 })
  const list: TicketServer[] = []
  for (let i = 0; i < (setting.count ?? 3); i += 1) {
    const member = await farm.join()
    const server = await tellingServer({ sessionIdContext: 'farm', ...setting.options })
    setting.prepare?.(server)
    const { scope } = setting
    const options = scope === undefined ? {} : { scope }
    const installed = installTicketKeys(server, member.ring, log, options)
    list.push({ server, installed, port: await listening(t, server) })
  }
  t.teardown(() => {
    for (const { ring } of farm.members) ring.close()
  })
  await time.advance(24 * hour)
  return { time, log, farm, list, ports: list.map(({ port }) => port) }
}

for (const version of versions) {
  const protocol = { minVersion: version, maxVersion: version }
  const kept = { ...protocol, sessionIdContext: 'farm' }

  t.test(`${version}: tickets of one server resume on the others`, async t => {
    const { time, ports, list, log, farm } = await servers(t, { options: protocol })
    t.ok(list.every(({ installed }) => installed.mode === 'ring'))
    for (const from of ports) {
      for (const port of ports) {
        const [session] = (await visit({ port: from })).sessions
        t.ok((await visit({ port, session })).reused, `${from} -> ${port}`)
      }
    }
    const [a, b] = ports as [number, number]
    const [session] = (await visit({ port: a })).sessions
    await time.advance(8 * hour)
    t.ok((await visit({ port: b, session })).reused, 'after a rotation too')
    await time.advance(16 * hour)
    const late = await visit({ port: b, session })
    t.equal(late.reused, false, 'and not once its key has come to its end')
    t.match(late.body, /serverName|authorized/, 'with a full handshake that works')

    const text = log.lines.join('\n')
    t.match(text, /ticket-key hook/)
    const secrets = farm.drawn.filter(({ length }) => length >= 32)
    t.ok(secrets.length > 3)
    for (const { ring } of farm.members) {
      const { hmac, aes } = ring.encrypting()
      for (const secret of [...secrets, hmac, aes]) {
        if (text.includes(secret.toString('hex'))) t.fail('a key in the log')
        if (text.includes(secret.toString('base64'))) t.fail('a key in the log')
        if (text.includes(JSON.stringify(secret))) t.fail('a key in the log')
      }
    }
  })

  t.test(`${version}: a new certificate keeps the keys`, async t => {
    const { list } = await servers(t, { options: protocol })
    const [a, b] = list as [TicketServer, TicketServer]
    const [session] = (await visit({ port: b.port })).sessions
    a.server.setSecureContext({ ...(await certificateFor('localhost')), ...kept })
    t.equal(
      (await visit({ port: a.port, session })).reused,
      false,
      'Node forgets the hook',
    )
    a.installed.contextReplaced()
    t.ok((await visit({ port: a.port, session })).reused)
  })

  t.test(`${version}: a ticket of another policy does not resume`, async t => {
    let policy = 'one'
    const { list } = await servers(t, { options: protocol, scope: () => policy })
    const [a, b] = list as [TicketServer, TicketServer]
    const [session] = (await visit({ port: b.port })).sessions
    t.ok((await visit({ port: a.port, session })).reused)
    policy = 'two'
    a.server.setSecureContext({ ...(await certificateFor('localhost')), ...kept })
    a.installed.contextReplaced()
    t.equal((await visit({ port: a.port, session })).reused, false)
    const [fresh] = (await visit({ port: a.port })).sessions
    t.ok((await visit({ port: a.port, session: fresh })).reused)
    t.equal((await visit({ port: b.port, session: fresh })).reused, false)
  })

  t.test(`${version}: uninstalled, a server has its own keys again`, async t => {
    const own = await tellingServer(protocol)
    const port = await listening(t, own)
    const [before] = (await visit({ port })).sessions
    const { farm } = await servers(t, { count: 1 })
    const ring = farm.members[0]?.ring
    if (ring === undefined) throw new Error('no member')
    const installed = installTicketKeys(own, ring, recordingLog())
    t.equal((await visit({ port, session: before })).reused, false)
    const [during] = (await visit({ port })).sessions
    t.ok((await visit({ port, session: during })).reused)
    installed.uninstall()
    t.ok((await visit({ port, session: before })).reused)
    t.equal((await visit({ port, session: during })).reused, false)
    ring.close()
    t.ok((await visit({ port })).sessions.length > 0, 'and no need of the ring')
  })
}

t.test(
  'a chain of 50 single-use tickets over three servers resumes 50 times',
  async t => {
    const { ports } = await servers(t, { options: { minVersion: 'TLSv1.3' } })
    const random = seededRandom(7)
    let { sessions } = await visit({ port: ports[0] as number })
    let resumed = 0
    for (let step = 0; step < 50; step += 1) {
      const port = ports[Math.floor(random() * ports.length)] as number
      const session = sessions.at(-1)
      const next = await visit({ port, ...(session === undefined ? {} : { session }) })
      if (next.reused) resumed += 1
      sessions = next.sessions
    }
    t.equal(resumed, 50)
  },
)

t.test('tickets of a name with a context of its own resume too', async t => {
  const pair = await certificateFor('localhost')
  const { ports } = await servers(t, { prepare: s => s.addContext('b.test', pair) })
  const [a, b] = ports as [number, number]
  const servername = 'b.test'
  const [session] = (await visit({ port: a, servername })).sessions
  t.ok((await visit({ port: b, servername, session })).reused)
})

t.test('without the hook the newest key is set, and the log says so', async t => {
  const { time, list, ports, log } = await servers(t, {
    prepare: server =>
      Object.assign(contextOf(server), { enableTicketKeyCallback: null }),
  })
  t.ok(list.every(({ installed }) => installed.mode === 'single'))
  t.match(log.lines.join('\n'), /this Node has no ticket-key hook/)
  const [a, b] = ports as [number, number]
  const [session] = (await visit({ port: a })).sessions
  t.ok((await visit({ port: b, session })).reused)
  await time.advance(8 * hour)
  t.equal((await visit({ port: b, session })).reused, false, 'there is no overlap')
  const [next] = (await visit({ port: a })).sessions
  t.ok((await visit({ port: b, session: next })).reused)
  for (const { installed } of list) installed.uninstall()
  const [own] = (await visit({ port: a })).sessions
  t.equal((await visit({ port: b, session: own })).reused, false)
})

t.test('a hook that is never called is given up', async t => {
  const { list, ports, log } = await servers(t, {
    prepare: server => Object.assign(contextOf(server), { enableTicketKeyCallback() {} }),
  })
  const [a, b] = ports as [number, number]
  for (let i = 0; i < 8; i += 1) {
    await visit({ port: a })
    await visit({ port: b })
  }
  t.equal(list[0]?.installed.mode, 'single')
  t.match(log.lines.join('\n'), /never called/)
  const [session] = (await visit({ port: a })).sessions
  t.ok((await visit({ port: b, session })).reused)
})

t.test('a ring that fails costs a resumption, never a connection', async t => {
  const { farm, ports, log } = await servers(t, { count: 1 })
  const [port] = ports as [number]
  const [session] = (await visit({ port })).sessions
  farm.members[0]?.ring.close()
  const served = await visit({ port, session })
  t.equal(served.reused, false)
  t.match(log.lines.join('\n'), /no ticket key/)
  t.throws(() => installTicketKeys({} as Server, farm.members[0]?.ring as never, log), {
    code: 'ERR_HANDFAST_USAGE',
  })
})

t.test('a server without tickets is refused', async t => {
  const secureOptions = constants.SSL_OP_NO_TICKET
  await t.rejects(servers(t, { count: 1, options: { secureOptions } }), {
    code: 'ERR_HANDFAST_USAGE',
    message: /tickets switched off/,
  })
})

function contextOf(server: Server): object {
  return (server as unknown as { _sharedCreds: { context: object } })._sharedCreds.context
}
