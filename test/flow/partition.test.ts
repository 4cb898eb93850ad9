import t, { type Test } from 'tap'
import { parseAddress } from '../../lib/address.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { startRelay } from '../fixtures/farm/stream-relay.ts'
import { PartitionMember } from '../fixtures/flow/partition-farm.ts'
import { patience } from '../fixtures/patience.ts'
import { untilSealed } from '../fixtures/resumption/until-sealed.ts'
import {
  only,
  resume,
  told,
  type Version,
  versions,
} from '../fixtures/resumption/world.ts'
import { type Visit, visit } from '../fixtures/tls/client.ts'
import type { Told } from '../fixtures/tls/servers.ts'

/*
 * What is revoked while a member can not hear it, in both settings of `onPartition`, with
 * processes that are stopped and links that are cut.
 */

const settings = ['serve', 'full-handshake'] as const
type OnPartition = (typeof settings)[number]

interface Minted {
  readonly version: Version
  readonly revoked: Visit
  readonly kept: Visit
}

for (const onPartition of settings) {
  t.test(`${onPartition}: a member that was stopped`, { timeout: 300_000 }, async t => {
    const secret = generateSecret()
    const a = await PartitionMember.start(t, { secret, onPartition })
    const join = () =>
      PartitionMember.start(t, { secret, onPartition, members: [a.address] })
    const [b, c] = await Promise.all([join(), join()])
    await whole([a, b, c])
    const minted = await mint(a)
    for (const { version, kept } of minted) {
      t.match(await offer(c, version, kept), { resumed: /local|peer|ticket/ })
    }

    c.stop()
    await condition(async () => (await a.states()).some(state => state !== 'ready'))
    await condition(async () => (await b.states()).some(state => state !== 'ready'))
    for (const { revoked } of minted) await a.revoke(told(revoked).lineage ?? '')
    for (const { version, revoked, kept } of minted) {
      for (const member of [a, b]) {
        t.match(await offer(member, version, revoked), { resumed: false })
        const other = await offer(member, version, kept)
        if (onPartition === 'serve') t.match(other, { resumed: /local|peer|ticket/ })
        else t.match(other, { resumed: false, cause: 'partition' })
      }
    }
    // These wait at its door, and are what it sees first when it goes on.
    const waiting = minted.flatMap(({ version, revoked }) =>
      Array.from({ length: 20 }, () => offer(c, version, revoked)),
    )
    c.goOn()
    const first = await Promise.all(waiting)
    await judgeHealing(t, onPartition, c, minted, first)
  })

  t.test(
    `${onPartition}: a member whose links were cut`,
    { timeout: 300_000 },
    async t => {
      const secret = generateSecret()
      const [toA, toB] = [await startRelay(t), await startRelay(t)]
      const a = await PartitionMember.start(t, {
        secret,
        onPartition,
        advertise: toA.address,
      })
      toA.lead(parseAddress(a.address).port)
      const b = await PartitionMember.start(t, {
        secret,
        onPartition,
        advertise: toB.address,
        members: [toA.address],
      })
      toB.lead(parseAddress(b.address).port)
      await whole([a, b])
      for (let round = 0; round < 3; round += 1) {
        const minted = await mint(a)
        for (const relay of [toA, toB]) relay.breakOff()
        for (const member of [a, b]) {
          await condition(async () => (await member.states()).includes('gone'))
        }
        for (const { version, revoked, kept } of minted) {
          await a.revoke(told(revoked).lineage ?? '')
          t.match(await offer(a, version, revoked), { resumed: false })
          const expected =
            onPartition === 'serve' ? { resumed: /local|ticket/ } : { cause: 'partition' }
          t.match(await offer(b, version, revoked), expected, 'it can not know')
          t.match(await offer(b, version, kept), expected)
        }
        const relays = round % 2 === 0 ? [toA, toB] : [toB, toA]
        for (const relay of relays) relay.mend()
        await judgeHealing(t, onPartition, b, minted)
      }
    },
  )
}

/** Offers to a member that comes back what was revoked meanwhile, until all is well again. */
async function judgeHealing(
  t: Test,
  onPartition: OnPartition,
  member: PartitionMember,
  minted: readonly Minted[],
  seen: Told[] = [],
): Promise<void> {
  const healed = async () => {
    for (const { version, revoked, kept } of minted) {
      const one = await offer(member, version, revoked)
      seen.push(one)
      if (one.cause !== 'revoked') return false
      if ((await offer(member, version, kept)).resumed === false) return false
    }
    return true
  }
  await condition(healed)
  for (let n = 0; n < 20; n += 1) {
    for (const { version, revoked } of minted) {
      t.match(await offer(member, version, revoked), { resumed: false, cause: 'revoked' })
    }
  }
  const resumed = seen.filter(one => one.resumed !== false)
  t.comment(`${seen.length} offers while it healed, ${resumed.length} resumed`)
  if (onPartition === 'full-handshake') t.same(resumed, [], 'not for a moment')
}

async function mint({ port }: PartitionMember): Promise<Minted[]> {
  const all: Minted[] = []
  await untilSealed(() => visit({ port, ...only('TLSv1.3') }))
  for (const version of versions) {
    const revoked = await visit({ port, ...only(version) })
    all.push({ version, revoked, kept: await visit({ port, ...only(version) }) })
  }
  return all
}

async function offer(
  { port }: PartitionMember,
  version: Version,
  { sessions }: Visit,
): Promise<Told> {
  try {
    return told(await resume(port, sessions[0], only(version)))
  } catch {
    // A revocation may come in the middle of a handshake, which then ends.
    return { resumed: false, cause: 'refused' } as Told
  }
}

async function whole(members: readonly PartitionMember[]): Promise<void> {
  await condition(async () => {
    const states = await Promise.all(members.map(member => member.states()))
    return states.every(
      seen => seen.length === members.length && seen.every(state => state === 'ready'),
    )
  })
}

async function condition(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + patience
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${holds}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
