import t from 'tap'
import { systemClock } from '../../../lib/clock.ts'
import { patience } from '../../fixtures/patience.ts'
import { HeldConnection } from '../../fixtures/resumption/held-connection.ts'
import {
  type SealedServer,
  sealedServers,
} from '../../fixtures/resumption/sealed-world.ts'
import { resume, told } from '../../fixtures/resumption/world.ts'
import { authority, clientOf } from '../../fixtures/tls/certificates.ts'
import { visit } from '../../fixtures/tls/client.ts'

const day = 24 * 3600_000

/** Servers whose clock can be set ahead. */
async function timed(settings: object = {}, more: object = {}) {
  let ahead = 0
  const clock = { ...systemClock, now: () => Date.now() + ahead }
  const servers = await sealedServers(t, 2, { settings: { clock, ...settings }, ...more })
  const pass = (ms: number) => {
    ahead += ms
  }
  return { servers: servers as [SealedServer, SealedServer], pass }
}

t.test(
  'a chain ends by the time of its full handshake, however often renewed',
  async t => {
    const { servers, pass } = await timed({ lineageTimeout: day })
    const [a, b] = servers
    let last = await visit({ port: a.port })
    const { lineage, originalAt } = told(last)
    for (let hours = 0; hours < 23; hours += 1) {
      pass(3600_000)
      last = await resume(hours % 2 === 0 ? a.port : b.port, last.sessions[0])
      t.match(told(last), { resumed: 'ticket', lineage, originalAt }, `${hours}`)
    }
    pass(3600_001)
    const over = await resume(a.port, last.sessions[0])
    t.match(told(over), { resumed: false, cause: 'lineage-expired' })
    t.not(told(over).lineage, lineage)
  },
)

t.test('a ticket is good for sessionTimeout, and a renewed one anew', async t => {
  // TLS counts it, in whole seconds of the machine's clock.
  const { servers } = await timed({ sessionTimeout: 4_000 })
  const [a, b] = servers
  const first = await visit({ port: a.port })
  const { lineage } = told(first)
  let last = first
  let late = told(first)
  const deadline = Date.now() + patience
  // The chain goes on all the time while the ticket that it began with grows old.
  while (late.cause !== 'expired' && Date.now() < deadline) {
    last = await resume(a.port, last.sessions[0])
    t.match(told(last), { resumed: 'ticket', lineage })
    late = told(await resume(b.port, first.sessions[1]))
    await new Promise(resolve => setTimeout(resolve, 200))
  }
  t.match(late, { resumed: false, cause: 'expired' })
})

t.test('a ticket never outlives its certificate, and costs no connection', async t => {
  const ca = (await authority('CA')).cert
  const client = await clientOf('CA')
  const more = { server: { requestCert: true, ca }, attach: { resumption: 'sealed' } }
  const { servers, pass } = await timed({}, more)
  const [a] = servers
  const good = await visit({ port: a.port, ...client })
  t.match(told(await resume(a.port, good.sessions[0], client)), { resumed: 'ticket' })
  // These certificates are good for a year.
  pass(370 * day)
  const late = await visit({ port: a.port, ...client })
  const again = await resume(a.port, late.sessions[0], client)
  t.match(told(again), { resumed: false, clientAuthorized: true })
})

t.test('what is revoked while a client dallies does not resume', async t => {
  const revoked = new Set<string>()
  const isTicketRevoked = ({ lineage }: { lineage: Buffer }) =>
    revoked.has(lineage.toString('hex'))
  const { servers } = await timed({ isTicketRevoked })
  const [a] = servers
  const first = await visit({ port: a.port })
  const held = new HeldConnection(a.port)
  const late = resume(a.port, first.sessions[0], { over: held.duplex })
  late.catch(() => {})
  await held.answered
  revoked.add(told(first).lineage ?? '')
  held.release()
  await t.rejects(late, 'the connection is closed')
  const again = await resume(a.port, first.sessions[1])
  t.match(told(again), { resumed: false, cause: 'revoked' })
})

t.test('no ticket resumes while a revocation could be unheard', async t => {
  let cut = false
  const { servers } = await timed({ isCut: () => cut })
  const [a, b] = servers
  const first = await visit({ port: a.port })
  cut = true
  const offered = await resume(b.port, first.sessions[0])
  t.match(told(offered), { resumed: false, cause: 'partition' })
  const fresh = await visit({ port: b.port })
  t.match(told(fresh), { resumed: false, cause: 'none-offered' })
  cut = false
  t.match(told(await resume(b.port, first.sessions[1])), { resumed: 'ticket' })
  t.match(told(await resume(a.port, fresh.sessions[0])), { resumed: 'ticket' })
})

t.test('a member that may lack revocations opens no ticket, and serves', async t => {
  let knows = false
  const [a] = (await sealedServers(t, 1)) as [SealedServer]
  const [late] = (await sealedServers(t, 1, {
    settings: { knowsRevocations: () => knows },
  })) as [SealedServer]
  const first = await visit({ port: a.port })
  const offered = await resume(late.port, first.sessions[0])
  t.match(told(offered), { resumed: false, cause: 'unknown' })
  const own = await resume(late.port, offered.sessions[0])
  t.match(told(own), { resumed: 'local' }, 'its own sessions are in its table')
  knows = true
  t.match(told(await resume(late.port, first.sessions[1])), { resumed: 'ticket' })
  t.match(told(await resume(late.port, own.sessions[0])), { resumed: 'local' })
})
