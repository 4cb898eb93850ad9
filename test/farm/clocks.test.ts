import t from 'tap'
import { createAdmin } from '../../lib/admin/admin.ts'
import { main } from '../../lib/cli/main.ts'
import { silentLog } from '../../lib/log.ts'
import { tables } from '../../lib/record/key.ts'
import { signer, token } from '../fixtures/auth/tokens.ts'
import { connection, request, shortly } from '../fixtures/auth/world.ts'
import { fakeIo } from '../fixtures/cli/io.ts'
import { ClockFarm, type ClockMember } from '../fixtures/farm/clock-farm.ts'
import { cacheOf } from '../fixtures/farm/insides.ts'
import { inTheEnd, reached } from '../fixtures/farm/reached.ts'
import { until } from '../fixtures/until.ts'

const minute = 60_000
const transports = ['stream', 'unicast'] as const
const value = Buffer.from('value')
const life = { ttl: minute, level: 'all', budget: 10_000 } as const

for (const transport of transports)
  for (const off of [-290_000, -45_000, 45_000, 290_000]) {
    t.test(`${transport}: a clock that is ${off / 1_000} s off`, async t => {
      const farm = new ClockFarm(t, transport)
      const a = await farm.add(0)
      const b = await farm.add(off)
      const pairs: [ClockMember, ClockMember][] = [
        [a, b],
        [b, a],
      ]
      const held = ({ farm }: ClockMember, key: Buffer) =>
        cacheOf(farm).getLocal(tables.state, key)
      const left = (member: ClockMember, key: Buffer) =>
        (held(member, key)?.expiresAt ?? 0) - member.clock.now()

      await t.test('what counts as written is there, and lives as long', async t => {
        for (const [i, [from, to]] of pairs.entries()) {
          const key = Buffer.from(`key ${i}`)
          t.ok(await from.farm.cache.add(tables.state, key, value, life))
          t.ok(held(to, key), 'as soon as it counts as written')
          const ms = left(to, key)
          t.ok(ms > minute - 10_000 && ms < minute + 10_000, `${ms} ms to live`)
          // Each after the other has spoken: the later one wins, whosever clock is ahead.
          t.ok(await from.farm.cache.update(tables.state, key, Buffer.from('2'), life))
          t.same(held(to, key)?.value, Buffer.from('2'))
          t.ok(await to.farm.cache.update(tables.state, key, Buffer.from('3'), life))
          t.same(held(from, key)?.value, Buffer.from('3'))
          t.ok(await to.farm.cache.delete(tables.state, key, { budget: 10_000 }))
          t.equal(held(from, key), undefined)
        }
      })

      await t.test('a token is good for as long as its issuer meant', async t => {
        const key = signer()
        const given = { key: key.publicPem, issuer: 'i', audience: 'a' }
        const { auth } = a.farm.auth({ bearer: { ...given, algorithms: ['EdDSA'] } })
        const iat = Math.floor(a.clock.now() / 1_000)
        const claims = { iss: 'i', aud: 'a', sub: 'ann', iat, exp: iat + 60 }
        const authorization = `Bearer ${token(key, claims)}`
        const asked = request(connection(a.clock), { authorization })
        t.equal(shortly(await auth.authenticate(asked)), 'ann')
      })

      await t.test('a purge that counts as done is done', async t => {
        const key = Buffer.from('purged')
        for (const [from, to] of pairs) {
          t.ok(await to.farm.cache.add(tables.state, key, value, life))
          const reach = await from.farm.cache.purge(tables.state, 10_000)
          t.same(reach, { everywhere: true, reachable: true, missing: [] })
          t.equal(held(to, key), undefined)
          t.ok(await to.farm.cache.add(tables.state, key, value, life))
          t.ok(held(from, key), 'what is written after it stays')
        }
      })

      await t.test('sessions resume both ways, until a revocation', async t => {
        // From the tables, or by sealed tickets as soon as there are keys for them.
        const known = /local|ticket/
        for (const [from, to] of pairs) {
          const made = [await from.come(), await to.come()]
          t.match((await to.come(made[0]?.sessions[0])).resumed, known)
          t.match((await from.come(made[1]?.sessions[0])).resumed, known)
          const revoke = () => from.farm.revoke({ serverName: 'localhost' })
          const outcome = await reached(revoke)
          t.match(outcome, { everywhere: true, missing: [] })
          for (const member of [from, to])
            for (const { sessions } of made)
              t.match(await member.come(sessions[1]), { cause: 'revoked' })
          t.equal(to.farm.revocations().length, 1)
          const after = [await from.come(), await to.come()]
          t.match((await to.come(after[0]?.sessions[0])).resumed, known, 'made later')
          t.match((await from.come(after[1]?.sessions[0])).resumed, known)
        }
      })

      await t.test('one that joins counts what is left of each record', async t => {
        const keys = ['by a', 'by b'].map(text => Buffer.from(text))
        for (const [i, { farm }] of [a, b].entries())
          t.ok(await farm.cache.add(tables.state, keys[i] as Buffer, value, life))
        // As far from one as from the other.
        const late = await farm.add(off / 2)
        for (const key of keys) {
          const ms = left(late, key)
          t.ok(ms > 10_000 && ms < minute + 10_000, `${key}: ${ms} ms to live`)
        }
      })
    })
  }

for (const transport of transports)
  for (const [off, here, there] of [
    [-1, 'behind', 'ahead of'],
    [1, 'ahead of', 'behind'],
  ] as const) {
    const name = `${transport}: a clock 7 minutes ${here} the others`
    t.test(`${name} is no member, and both sides say why`, async t => {
      const farm = new ClockFarm(t, transport)
      const a = await farm.add(0)
      const words = `clock is (6 min 59 s|7 min|7 min 1 s) ${here}`
      const error = await farm.add(off * 7 * minute).catch(error => error)
      t.match(error, {
        code: 'ERR_HANDFAST_JOIN',
        message: new RegExp(`refused this member.*the ${words} its own, and 5 min are`),
      })
      const [line] = a.log.said('member refused')
      t.match(line, { level: 'error', message: new RegExp(`its ${words} ours`) })
      const refused = a.farm.members().find(({ id }) => id === 'm1')
      t.match(refused, { state: 'refused', reason: new RegExp(words) })
      const admin = await createAdmin({
        farm: a.farm,
        port: 0,
        token: '',
        log: silentLog,
      })
      t.teardown(() => admin.close())
      const io = fakeIo(process.cwd())
      t.equal(await main(['status', '--admin', String(admin.port)], io), 0)
      t.match(io.stdout.text, new RegExp(`\n {2}m1 .*refused: its ${words} ours`))
      t.match(await a.farm.revoke({ user: 'ann' }), { everywhere: true }, 'never joined')
      t.not(there, here)
    })

    t.test(`${name} at some time is cut off, and missed`, async t => {
      const farm = new ClockFarm(t, transport)
      const [a, b, c] = [await farm.add(0), await farm.add(0), await farm.add(0)]
      b.clock.off = off * 7 * minute
      for (const [member, other] of [
        [a, 'm1'],
        [b, 'm0'],
        [c, 'm1'],
        [b, 'm2'],
      ] as const)
        await until(() =>
          member.farm.members().some(({ id, state, reason }) => {
            return id === other && state === 'refused' && reason !== undefined
          }),
        )
      // Those that are still there are told, and the one that is not is named.
      const revoke = () => a.farm.revoke({ user: 'ann' })
      t.match(await inTheEnd(revoke, ({ reachable }) => reachable), {
        everywhere: false,
        reachable: true,
        missing: [{ id: 'm1', away: Number }],
      })
      t.equal(c.farm.revocations().length, 1)
      t.equal(b.farm.revocations().length, 0)
      t.match(a.farm.members().filter(({ id }) => id === 'm1').length, 1, 'listed once')

      // Corrected, it comes back by itself and hears of what it missed.
      b.clock.off = 0
      await until(() => b.farm.revocations().length === 1)
      await until(() => a.farm.absent().length === 0)
    })
  }

for (const transport of transports)
  t.test(`${transport}: a clock that was an hour ahead, and is right again`, async t => {
    const farm = new ClockFarm(t, transport)
    const [a, b] = [await farm.add(0), await farm.add(0)]
    b.clock.off = 60 * minute
    await b.farm.cache.add(tables.state, Buffer.from('k'), value, { ...life, budget: 1 })
    await until(() => a.farm.absent().length > 0)
    b.clock.off = 0
    const reasonAt = (member: ClockMember, other: string) =>
      member.farm.members().find(({ id }) => id === other)?.reason ?? ''
    const words = /clock was (1 h|59 min 5\d s) ahead of .*end all processes/
    await until(() => words.test(reasonAt(a, 'm1')))
    await until(() => words.test(reasonAt(b, 'm0')))
    t.match(a.log.said('end all processes')[0], { level: 'error' })

    // They try again, less and less often, and are no members of each other for a moment.
    const links = () => [a, b].flatMap(({ log }) => log.said('linked to a member')).length
    const before = links()
    const tries = () => a.log.said('member not reached').length + links() - before
    await until(() => tries() >= 4)
    t.equal(links(), before)
    for (const { farm } of [a, b]) t.ok((farm.absent()[0]?.away ?? 0) > 300, 'away since')

    await b.farm.close()
    farm.members.splice(1, 1)
    await t.resolves(farm.add(0), 'started again it is a member')
  })

t.test('a record that no clock can have made yet is not acknowledged', async t => {
  const farm = new ClockFarm(t, 'stream')
  const [a, b] = [await farm.add(0), await farm.add(0)]
  // Its clock is right again at once: only the record shows it, and then the next heartbeat, for
  // what a member writes is never dated back.
  a.clock.jumpOnce(60 * minute)
  const added = a.farm.cache.add(tables.state, Buffer.from('k'), value, {
    ...life,
    budget: 1_000,
  })
  // Where that heartbeat comes first it is cut off, and waits for nobody any more.
  const isCutOff = () => a.farm.members().some(({ state }) => state === 'refused')
  t.ok(!(await added) || isCutOff())
  t.equal(cacheOf(b.farm).getLocal(tables.state, Buffer.from('k')), undefined)
  t.ok(Number(b.farm.stats().transport['refusedFuture']) > 0)
})
