import t from 'tap'
import { ProcessFarm } from '../fixtures/flow/process-farm.ts'
import type { MemberSettings } from '../fixtures/flow/process-member.ts'
import { type Visit, type VisitOptions, visit } from '../fixtures/tls/client.ts'
import type { Told } from '../fixtures/tls/servers.ts'

const versions = ['TLSv1.2', 'TLSv1.3'] as const

type Transport = NonNullable<MemberSettings['transport']>

/** Three processes that carry their records so; the last three may be of different minds. */
const farms: readonly (readonly [Transport, Transport, Transport])[] = [
  ['stream', 'stream', 'stream'],
  ['multicast', 'multicast', 'multicast'],
  ['unicast', 'unicast', 'unicast'],
  ['unicast', 'multicast', 'auto'],
]

for (const kinds of farms) {
  const [usual] = kinds
  t.test(`a farm of ${[...new Set(kinds)].join(', ')}`, async t => {
    const farm = new ProcessFarm(t)
    await farm.add(kinds[0])
    await Promise.all([farm.add(kinds[1]), farm.add(kinds[2])])
    const port = (index: number): number => farm.members[index]?.port ?? 0
    const resume = (index: number, session: Buffer | undefined, options = {}) =>
      visit({ port: port(index), session, ...options } as VisitOptions)

    for (const version of versions) {
      const only = { minVersion: version, maxVersion: version }
      await t.test(`${version}: minted on any member, resumed on any other`, async t => {
        for (const from of [0, 1, 2]) {
          const first = await visit({ port: port(from), ...only })
          const elsewhere = first.sessions.map((session, at) =>
            resume((from + 1 + (at % 2)) % 3, session, only),
          )
          for (const again of await Promise.all(elsewhere)) {
            t.equal(again.reused, true, `from ${from}`)
            t.equal(told(again).lineage, told(first).lineage)
          }
        }
      })
    }

    await t.test('a member that joins under load resumes everything', async t => {
      const minted: { session: Buffer; only: object }[] = []
      let loading = true
      const load = (async () => {
        for (let n = 0; loading; n += 1) {
          const version = versions[n % 2] as (typeof versions)[number]
          const only = { minVersion: version, maxVersion: version }
          const options = { port: port(n % 3), handshakeOnly: true, ...only }
          const { sessions } = await visit(options)
          for (const session of sessions) minted.push({ session, only })
        }
      })()
      await farm.add(usual)
      loading = false
      await load
      t.ok(minted.length > 5, `${minted.length} sessions were minted meanwhile`)
      let resumed = 0
      const latest = minted.slice(-50)
      for (const { session, only } of latest) {
        const again = await resume(3, session, { handshakeOnly: true, ...only })
        if (again.reused) resumed += 1
      }
      t.equal(resumed, latest.length)
    })

    await t.test('the sessions of a member that is killed resume elsewhere', async t => {
      const minted: { session: Buffer | undefined; only: object }[] = []
      for (const version of versions) {
        const only = { minVersion: version, maxVersion: version }
        for (let n = 0; n < 4; n += 1) {
          const { sessions } = await visit({ port: port(0), ...only })
          minted.push({ session: sessions[0], only })
        }
      }
      await farm.kill(0, 'SIGKILL')
      for (const [n, { session, only }] of minted.entries()) {
        t.equal((await resume(1 + (n % 3), session, only)).reused, true)
      }
    })
  })
}

function told(visited: Visit): Told {
  return JSON.parse(visited.body)
}
