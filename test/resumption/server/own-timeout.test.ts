import t, { type Test } from 'tap'
import { systemClock } from '../../../lib/clock.ts'
import { derElement, derWrapped } from '../../../lib/resumption/session/der.ts'
import {
  farmOfOne,
  memberServer,
  only,
  resume,
  told,
  type Version,
  versions,
} from '../../fixtures/resumption/world.ts'
import { visit } from '../../fixtures/tls/client.ts'
import { certificateFor, listening, tellingServer } from '../../fixtures/tls/servers.ts'

const second = 1_000

/** A member whose clock can be set ahead. */
async function world(t: Test, version: Version, sessionTimeout?: number) {
  let ahead = 0
  const clock = { ...systemClock, now: () => Date.now() + ahead }
  const member = await memberServer(t, {
    farm: { clock, sessionTimeout: 3600 * second },
    // TLS itself counts the age of a sealed ticket, by the machine's clock.
    attach: { resumption: 'stateful' },
    server: { sessionTimeout },
  })
  const offer = async (session: Buffer | undefined, after: number) => {
    ahead = after
    const again = await resume(member.port, session, only(version)).finally(() => {
      ahead = 0
    })
    t.equal(again.reused, told(again).resumed !== false)
    return again.reused
  }
  return { ...member, offer }
}

for (const version of versions) {
  t.test(
    `${version}: a server's own sessionTimeout counts where it is shorter`,
    async t => {
      const { port, offer, server } = await world(t, version, 60)
      const first = await visit({ port, ...only(version) })
      const [session] = first.sessions
      t.equal(await offer(session, 59 * second), true)
      t.equal(await offer(session, 62 * second), false)

      server.setSecureContext(await certificateFor('localhost'))
      const kept = (await visit({ port, ...only(version) })).sessions[0]
      t.equal(await offer(kept, 59 * second), true)
      t.equal(await offer(kept, 62 * second), false, 'Node keeps it, and so do we')

      const given = { ...(await certificateFor('localhost')), sessionTimeout: 30 }
      server.setSecureContext(given)
      t.equal(await offer(kept, 32 * second), false, 'for sessions made before, too')
    },
  )

  t.test(`${version}: a longer one, or none, leaves the farm's`, async t => {
    for (const sessionTimeout of [undefined, 0, 7200]) {
      const { port, offer } = await world(t, version, sessionTimeout)
      const [session] = (await visit({ port, ...only(version) })).sessions
      t.equal(await offer(session, 3595 * second), true, `${sessionTimeout}`)
      t.equal(await offer(session, 3605 * second), false, `${sessionTimeout}`)
    }
  })
}

t.test('clients are told of it, with sealed tickets too', async t => {
  for (const resumption of ['stateful', 'sealed'] as const) {
    const { port } = await memberServer(t, {
      server: { sessionTimeout: 60 },
      attach: { resumption },
    })
    const [session = Buffer.alloc(0)] = (await visit({ port, ...only('TLSv1.3') }))
      .sessions
    t.equal(lifetimeOf(session), 60, resumption)
  }
})

t.test('detach gives back the settings that the owner gave last', async t => {
  const pair = await certificateFor('localhost')
  const server = await tellingServer({ sessionTimeout: 60, secureOptions: 4 })
  const farm = await farmOfOne(t)
  const settings = () =>
    ['sessionTimeout', 'secureOptions', 'sessionIdContext'].map(name =>
      Reflect.get(server, name),
    )
  const before = settings()
  farm.attach(server)
  server.setSecureContext({ ...pair, secureOptions: 4 })
  farm.detach(server)
  t.same(settings(), before)
  farm.attach(server)
  server.setSecureContext({ ...pair, sessionTimeout: 30, sessionIdContext: 'mine' })
  farm.detach(server)
  t.same(settings(), [30, undefined, 'mine'])
  const never = await tellingServer()
  farm.attach(never)
  never.setSecureContext(pair)
  farm.detach(never)
  t.equal(Reflect.get(never, 'sessionTimeout'), undefined)
  const port = await listening(t, never)
  t.ok((await visit({ port })).sessions.length > 0)
})

/** ticket_lifetime in seconds, [9] in OpenSSL's session. */
function lifetimeOf(session: Buffer): number {
  const outer = derElement(session, 0)
  for (let at = outer?.start ?? 0; at < session.length; ) {
    const field = derElement(session, at)
    if (field === undefined) break
    const content = session.subarray(field.start, field.end)
    if (field.tag === 0xa9) return derWrapped(content)?.readUIntBE(0, 1) ?? 0
    at = field.end
  }
  return 0
}
