import { createHash } from 'node:crypto'
import t from 'tap'
import { Cache } from '../../../lib/cache/cache.ts'
import type { Clock } from '../../../lib/clock.ts'
import { generateSecret } from '../../../lib/farm/secret.ts'
import { createFarm } from '../../../lib/member/create-farm.ts'
import { HybridClock } from '../../../lib/record/hybrid-clock.ts'
import { tables } from '../../../lib/record/key.ts'
import { Revocations } from '../../../lib/resumption/revocation/revocation.ts'
import { RevocationIndex } from '../../../lib/resumption/revocation/revocation-index.ts'
import {
  decodeRevocation,
  encodeRevocation,
} from '../../../lib/resumption/revocation/revocation-record.ts'
import {
  keyOf,
  type RevocationTarget,
} from '../../../lib/resumption/revocation/revocation-target.ts'
import { collectedMemory } from '../../fixtures/collected-memory.ts'
import { type MemberServer, memberServers } from '../../fixtures/resumption/world.ts'
import { MapTable } from '../../fixtures/table/map-table.ts'
import { until } from '../../fixtures/until.ts'

const hour = 3_600_000
const floorKey = Buffer.from('floor')
const begin = Date.UTC(2026, 2, 1)
const id = (byte: number) => Buffer.alloc(32, byte)
const fingerprint = (bytes: Buffer) =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 16)

/** Revocations of a farm of one, with a clock of the test's own. */
function alone(index = new RevocationIndex()) {
  let now = begin
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    after: () => ({ cancel: () => {} }),
  }
  const table = new MapTable({ clock })
  const versions = new HybridClock(clock, 1)
  const cache = new Cache({ table, versions, clock })
  const options = { cache, clock, versions, lineageTimeout: 24 * hour }
  const revocations = new Revocations(options, index)
  const pass = (ms: number) => {
    now += ms
  }
  return { revocations, cache, table, pass }
}

const terms = {
  protocol: 0x0304,
  cipher: 0x1301,
  originalAt: begin,
  mintedAt: begin,
  certificateNotAfter: 0,
  policy: Buffer.alloc(16),
  certificate: Buffer.alloc(16),
  clientAuthorized: false,
  extendedMasterSecret: true,
  lineage: id(1),
  serverName: 'a.test',
  alpn: '',
}

t.test('what is revoked is listed with its time, end and reason', async t => {
  const { revocations, pass } = alone()
  const targets: [RevocationTarget, string | undefined][] = [
    [{ session: id(1) }, fingerprint(id(1))],
    [{ lineage: id(2) }, fingerprint(id(2))],
    [{ user: 'Ann Ångström' }, 'Ann Ångström'],
    [{ certificate: Buffer.alloc(16, 3) }, '03'.repeat(16)],
    [{ serverName: 'A.test' }, 'a.test'],
    [{ all: true }, undefined],
  ]
  for (const [n, [target]] of targets.entries()) {
    pass(1000)
    await revocations.revoke(target, n === 1 ? {} : { reason: `reason ${n}` })
  }
  const expected = targets.map(([target, name], n) => ({
    kind: Object.keys(target)[0],
    name,
    at: begin + 1000 * (n + 1),
    until: begin + 1000 * (n + 1) + 24 * hour + 5 * 60_000,
    reason: n === 1 ? '' : `reason ${n}`,
  }))
  t.same(revocations.list(), expected.toReversed(), 'the newest first')
  const text = JSON.stringify(revocations.list())
  for (const secret of [id(1), id(2)]) t.notOk(text.includes(secret.toString('hex')))

  pass(1000)
  await revocations.revoke({ user: 'Ann Ångström' }, { reason: 'again' })
  t.equal(revocations.list().length, targets.length, 'once each')
  t.match(revocations.list()[0], { kind: 'user', reason: 'again' })
  pass(24 * hour + 5 * 60_000 - 1)
  t.equal(revocations.list().length, 1, 'those that are over are not')
  pass(1)
  t.same(revocations.list(), [])
})

t.test('the list is the same in whatever order and time its records came', async t => {
  const here = alone()
  await here.revocations.revoke({ user: 'ann' })
  const there = alone()
  there.pass(1)
  for (const record of here.cache.scan(undefined, 10).records) there.cache.apply(record)
  t.equal(there.revocations.list().length, 1)
  t.same(there.revocations.list(), here.revocations.list())

  const users = ['eve', 'bob', 'ann', 'dan']
  const together = users.map((user, n) => ({
    table: tables.revocation,
    key: keyOf({ user }),
    value: encodeRevocation({ target: { user }, at: begin, reason: '', close: true }),
    version: { ms: begin, logical: n, node: 2 },
    expiresAt: begin + hour,
    tombstone: false,
  }))
  for (const order of [together, together.toReversed()]) {
    const { revocations, cache } = alone()
    for (const record of order) cache.apply(record)
    t.same(
      revocations.list().map(({ name }) => name),
      users.toSorted(),
    )
  }
})

t.test('a reason is one line of plain text', async t => {
  const { revocations } = alone()
  const bad: unknown[] = [
    'x'.repeat(501),
    'two\nlines',
    'a bell \u0007',
    'an escape \u001b[2J',
    'C1 \u009b2J',
    'turned \u202e round',
    'half \ud83d a pair',
    'a separator \u2028',
    42,
    { toString: () => 'text' },
  ]
  for (const [n, reason] of bad.entries()) {
    await t.rejects(
      revocations.revoke({ all: true }, { reason: reason as string }),
      { code: 'ERR_HANDFAST_USAGE', message: /^the reason must be/ },
      `${n}`,
    )
  }
  t.same(revocations.list(), [], 'and nothing was revoked')
  const good = ['', 'x'.repeat(500), 'gekündigt – “left” 😀']
  for (const reason of good) {
    await revocations.revoke({ all: true }, { reason })
    t.equal(revocations.list()[0]?.reason, reason)
  }
  const forged = { target: { all: true }, at: 1, reason: 'a\nb', close: false } as const
  t.equal(
    decodeRevocation(encodeRevocation(forged))?.reason,
    'a\ufffdb',
    'from others too',
  )
})

t.test('a target that is too long, or of no kind, revokes nothing', async t => {
  const { revocations } = alone()
  for (const target of [
    { user: 'x'.repeat(1025) },
    { user: '' },
    { serverName: 'x'.repeat(1025) },
    { session: Buffer.alloc(0) },
    { lineage: Buffer.alloc(65) },
    { lineage: 'ab' },
    { all: false },
    { alll: true },
    { user: 'ann', all: true },
    {},
    undefined,
  ]) {
    await t.rejects(revocations.revoke(target as never), { code: 'ERR_HANDFAST_USAGE' })
  }
  t.same(revocations.list(), [])
})

t.test('a full table drops no revocation', async t => {
  const { revocations, cache, table } = alone()
  await revocations.revoke({ lineage: terms.lineage })
  await revocations.revoke({ user: 'ann' })
  table.purge()
  t.equal(revocations.isRevoked(terms, id(9)), true)
  t.equal(revocations.voidsLogin('ann', begin - 1, undefined), true)
  t.equal(revocations.list().length, 2)
  t.ok(cache.read(tables.revocation, keyOf({ lineage: terms.lineage })))
  t.equal(cache.scan(undefined, 10).records.length, 2, 'nor do those who come later')
})

t.test('beyond its room it forgets none: all that is older is revoked', async t => {
  const { revocations, cache, pass } = alone(new RevocationIndex(3))
  for (let n = 1; n <= 5; n += 1) {
    pass(10)
    await revocations.revoke({ lineage: id(n) })
  }
  t.equal(revocations.list().length, 3)
  for (let n = 1; n <= 5; n += 1) {
    const since = { ...terms, lineage: id(n), originalAt: begin + 10 * n }
    t.equal(revocations.isRevoked(since, id(9)), true, `${n}`)
  }
  const older = { ...terms, lineage: id(6), originalAt: begin + 20 }
  const younger = { ...older, originalAt: begin + 21 }
  t.equal(revocations.isRevoked(older, id(9)), true, 'whoever it is')
  t.equal(revocations.isTicketRevoked(older, undefined), true)
  t.equal(revocations.voidsLogin('ann', begin + 20, undefined), true)
  t.equal(revocations.isRevoked(younger, id(9)), false)
  t.equal(revocations.isTicketRevoked(younger, undefined), false)
  t.equal(revocations.voidsLogin('ann', begin + 21, undefined), false)

  // Who joins gets what is kept, and that need not be all that was revoked.
  const late = alone()
  const floor = cache.scan(undefined, 100).records.find(({ key }) => key.equals(floorKey))
  if (floor === undefined) throw new Error('nothing was told')
  late.cache.apply(floor)
  t.equal(late.revocations.isRevoked(older, id(9)), true, 'a member that joins knows')
  t.equal(late.revocations.isRevoked(younger, id(9)), false)
  t.same(late.revocations.list(), [])
})

t.test('it is the oldest that it forgets, in whatever order they come', async t => {
  // As to a member that joins.
  const index = new RevocationIndex(64)
  const keyAt = (at: number) => keyOf({ lineage: id(at) })
  for (let n = 1; n <= 100; n += 1) {
    const at = (n * 37) % 101
    const target = { lineage: id(at) }
    const revocation = { target, at, reason: '', close: false }
    index.add(keyAt(at), { revocation, until: 1_000 }, 200)
  }
  t.equal(index.floor, 36)
  for (let at = index.floor + 1; at <= 100; at += 1)
    t.ok(index.get(keyAt(at), 200), `${at}`)
})

t.test('a ticket is told by the start of the certificate that may be in it', async t => {
  const { revocations, pass } = alone()
  const certificate = Buffer.from('c1c2'.padEnd(32, '0'), 'hex')
  pass(10)
  await revocations.revoke({ certificate })
  const chain = { lineage: id(1).subarray(0, 9), serverName: 'a.test', originalAt: begin }
  const start = Buffer.from('c1c2', 'hex')
  t.equal(revocations.isTicketRevoked(chain, start), true)
  t.equal(revocations.isTicketRevoked(chain, Buffer.from('c1c3', 'hex')), false)
  t.equal(revocations.isTicketRevoked(chain, undefined), false, 'where none is asked for')
  const later = { ...chain, originalAt: begin + 11 }
  t.equal(revocations.isTicketRevoked(later, start), false, 'nor after it')
})

t.test('100,000 short-lived revocations leave nothing behind', async t => {
  const index = new RevocationIndex()
  for (let n = 0; n < 100_000; n += 1) {
    const key = Buffer.alloc(4)
    key.writeUInt32BE(n)
    index.add(key, { revocation: undefined, until: n + 100 }, n)
  }
  t.equal(index.floor, Number.NEGATIVE_INFINITY)
  t.equal(index.live(99_999).length, 100)
})

t.test('what is revoked holds on to no memory of what came between', async t => {
  const { revocations } = alone()
  const between = () => Buffer.from('x'.repeat(4_000))
  const before = collectedMemory().arrayBuffers
  for (let n = 0; n < 2_000; n += 1) {
    const lineage = Buffer.alloc(32)
    lineage.writeUInt32BE(n)
    await revocations.revoke({ lineage })
    between()
    between()
  }
  const grown = collectedMemory().arrayBuffers - before
  t.ok(grown < 2 ** 20, `${grown} bytes`)
  t.equal(revocations.list().length, 2_000)
})

t.test('a record that nobody can read revokes for its time', async t => {
  const { revocations, cache } = alone()
  const record = {
    table: tables.revocation,
    key: keyOf({ lineage: terms.lineage }),
    value: Buffer.from('{"target"'),
    version: { ms: begin, logical: 0, node: 2 },
    expiresAt: begin + hour,
    tombstone: false,
  }
  cache.apply(record)
  t.equal(revocations.isRevoked(terms, id(9)), true)
  t.same(revocations.list(), [])
  const version = { ...record.version, logical: 1 }
  const deletion = { ...record, version, value: Buffer.alloc(0), tombstone: true }
  t.equal(cache.apply(deletion), true)
  t.equal(revocations.isRevoked(terms, id(9)), true, 'and a deletion does not lift it')
})

t.test('every member lists the same, those that come later too', async t => {
  const secret = generateSecret()
  const [a, b] = (await memberServers(t, 2, { farm: { secret } })) as [
    MemberServer,
    MemberServer,
  ]
  await a.farm.revoke({ user: 'ann' }, { reason: 'left' })
  await b.farm.revoke({ session: id(4) })
  await until(() => [a, b].every(({ farm }) => farm.revocations().length === 2))
  const late = await createFarm({
    secret,
    listen: { host: '127.0.0.1', port: 0 },
    members: [a.farm.address ?? ''],
  })
  t.teardown(() => late.close())
  t.match(a.farm.revocations(), [
    { kind: 'session', name: fingerprint(id(4)), reason: '' },
    { kind: 'user', name: 'ann', reason: 'left' },
  ])
  t.same(b.farm.revocations(), a.farm.revocations())
  t.same(late.revocations(), a.farm.revocations(), 'as soon as it is there')
})
