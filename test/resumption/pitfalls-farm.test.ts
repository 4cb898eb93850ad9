import t from 'tap'
import { parseAddress } from '../../lib/address.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { tables } from '../../lib/record/key.ts'
import { cacheOf } from '../fixtures/farm/insides.ts'
import { type Relay, startRelay } from '../fixtures/farm/stream-relay.ts'
import {
  type MemberServer,
  memberServer,
  only,
  resume,
  told,
  type Version,
  versions,
} from '../fixtures/resumption/world.ts'
import { type Visit, visit } from '../fixtures/tls/client.ts'
import type { TeardownScope } from '../fixtures/tls/servers.ts'
import { until } from '../fixtures/until.ts'

/* The pitfalls that need a network that fails; see pitfalls.test.ts for the list. */

interface Pair {
  readonly a: MemberServer
  readonly b: MemberServer
  /** What b says to a, and a's answers to it. */
  readonly toA: Relay
  readonly toB: Relay
}

/**
 * Two members that reach each other through relays only. What they write goes, both ways, over
 * the link that the first of them by name has dialled.
 */
async function relayedPair(t: TeardownScope, ofA = {}, ofB = {}): Promise<Pair> {
  const [toA, toB] = [await startRelay(t), await startRelay(t)]
  const listen = { host: '127.0.0.1', port: 0 }
  const common = { secret: generateSecret(), listen, lookupBudget: 150 }
  // A farm that has agreed on ticket keys, soon or late, would ask nobody.
  const attach = { resumption: 'stateful' } as const
  const a = await memberServer(t, {
    farm: { ...common, advertise: toA.address, ...ofA },
    attach,
  })
  toA.lead(parseAddress(a.farm.address ?? '').port)
  const b = await memberServer(t, {
    farm: { ...common, advertise: toB.address, members: [toA.address], ...ofB },
    attach,
  })
  toB.lead(parseAddress(b.farm.address ?? '').port)
  await until(() =>
    [a, b].every(member => stat(member, 'linksOut') === 1 && isWhole(member)),
  )
  return { a, b, toA, toB }
}

const stat = ({ farm }: MemberServer, name: string): number =>
  farm.stats().transport[name] ?? 0
const isWhole = ({ farm }: MemberServer): boolean =>
  farm.members().length === 2 && farm.members().every(({ state }) => state === 'ready')
const lineageOf = (visited: Visit) => Buffer.from(told(visited).lineage ?? '', 'hex')

t.test('10: a revocation behind a partition', async t => {
  const { a, b, toA, toB } = await relayedPair(
    t,
    { memberId: 'a' },
    { memberId: 'b', onPartition: 'full-handshake' },
  )
  const mint = (version: Version) => visit({ port: a.port, ...only(version) })
  const sessions = new Map<Version, { revoked: Visit; other: Visit; atB: Visit }>()
  for (const version of versions) {
    const [revoked, other] = [await mint(version), await mint(version)]
    const atB = await visit({ port: b.port, ...only(version) })
    sessions.set(version, { revoked, other, atB })
  }
  const offered = async (member: MemberServer, version: Version, visited?: Visit) =>
    told(await resume(member.port, visited?.sessions[0], only(version)))
  for (const relay of [toA, toB]) relay.breakOff()
  await until(() => !isWhole(a) && !isWhole(b))
  for (const [version, { revoked, other, atB }] of sessions) {
    await a.farm.revoke({ lineage: lineageOf(revoked) })
    await b.farm.revoke({ lineage: lineageOf(atB) })
    t.match(await offered(a, version, revoked), { cause: 'revoked' }, 'where it was made')
    t.match(await offered(a, version, other), { resumed: 'local' }, '`serve` goes on')
    t.match(
      await offered(a, version, atB),
      { resumed: 'local' },
      'and cannot know what was revoked on the other side',
    )
    t.match(await offered(b, version, revoked), { cause: 'partition' })
    t.match(await offered(b, version, other), { cause: 'partition' }, 'nothing resumes')
  }
  // One way is not enough: b talks to a again, and what a has to say does not come.
  toA.mend()
  await until(() => isWhole(b) && stat(a, 'linksIn') === 1)
  for (const [version, { revoked, other }] of sessions) {
    t.match(await offered(b, version, revoked), { resumed: false }, 'not on half a link')
    t.match(await offered(b, version, other), { resumed: false })
  }
  toB.mend()
  await until(() => isWhole(a) && isWhole(b))
  const knows = ({ farm }: MemberServer, visited: Visit) =>
    cacheOf(farm).getLocal(
      tables.revocation,
      Buffer.concat([Buffer.from('l'), lineageOf(visited)]),
    ) !== undefined
  for (const { revoked, atB } of sessions.values()) {
    await until(() => knows(b, revoked) && knows(a, atB))
  }
  for (const [version, { revoked, other, atB }] of sessions) {
    for (const member of [a, b]) {
      t.match(await offered(member, version, revoked), { cause: 'revoked' })
      t.match(await offered(member, version, atB), { cause: 'revoked' }, 'by both')
    }
    t.match(await offered(b, version, other), { resumed: 'local' }, 'and others resume')
  }
})

t.test('15: a member that never answers costs the lookup budget, no more', async t => {
  const { a, b, toA, toB } = await relayedPair(t, { memberId: '2' }, { memberId: '1' })
  // What is minted on b does not come to a, which asks for it and hears nothing.
  toA.pause()
  for (const version of versions) {
    const minted = await visit({ port: b.port, ...only(version) })
    toB.pause()
    const late = stat(a, 'answersLate')
    const fetches = stat(a, 'fetches')
    const offer = () => resume(a.port, minted.sessions[0], only(version))
    const [one, two] = await Promise.all([offer(), offer()])
    for (const visited of [one, two]) {
      t.match(told(visited), { resumed: false, cause: 'timeout' }, version)
    }
    t.ok(stat(a, 'fetches') - fetches <= 2)
    t.equal(stat(a, 'answersLate'), late)
    toB.resume()
    await until(() => stat(a, 'answersLate') > late)
    t.match(told(await visit({ port: a.port, ...only(version) })), {
      cause: 'none-offered',
    })
    // The budget is short, and a machine that is busy may need more than it.
    let last = told(await offer())
    while (!last.resumed && last.cause === 'timeout') last = told(await offer())
    t.match(last, { resumed: 'peer', lineage: told(minted).lineage })
  }
  t.equal(a.farm.stats().handshakes.failed, 0)
  toA.resume()
})
