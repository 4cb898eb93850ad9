import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { CacheRecord } from '../../lib/record/record.ts'
import { ann, loggedIn, verify } from '../fixtures/auth-logged-in.ts'
import { signer, token } from '../fixtures/auth-tokens.ts'
import { connection, request, shortly, World } from '../fixtures/auth-world.ts'

const hour = 3_600_000

t.test('log-out', async t => {
  await t.test('is seen on every member at the next request', async t => {
    const { a, b, onA, resumed, lineage } = await loggedIn()
    const onB = resumed()
    t.equal(shortly(await b.authenticate(request(onB))), 'ann')
    t.equal(await a.logout(request(onA)), true)
    t.equal(shortly(await a.authenticate(request(onA))), 401)
    t.equal(shortly(await b.authenticate(request(onB))), 401)
    t.equal(shortly(await b.authenticate(request(resumed()))), 401)
    t.equal(a.subjectOf(lineage), undefined)
  })
  await t.test('is not undone by a record that comes late', async t => {
    const { world, a, b, onA, resumed } = await loggedIn()
    const record = world.records(1)[0] as CacheRecord
    await a.logout(request(onA))
    t.equal(world.at(1).cache.apply(record), false)
    t.equal(shortly(await b.authenticate(request(resumed()))), 401)
  })
  await t.test('is not undone by a log-in that was being checked', async t => {
    const world = new World()
    let answer: (yes: boolean) => void = () => {}
    const slow = () => new Promise<boolean>(resolve => (answer = resolve))
    const member = world.member({ basic: slow })
    const socket = connection(world.clock)
    const checking = member.authenticate(request(socket, ann))
    await new Promise(setImmediate)
    await member.logout(request(socket))
    answer(true)
    await checking
    t.equal(shortly(await member.authenticate(request(socket))), 401)
  })
  await t.test('asks a client once that sends its password by itself', async t => {
    const { a, b, onA, resumed } = await loggedIn()
    const onB = resumed()
    await b.authenticate(request(onB, ann))
    await a.logout(request(onA))
    const asked = await a.authenticate(request(onA, ann))
    t.match(asked, {
      answer: { status: 401, headers: { 'www-authenticate': [/^Basic/] } },
    })
    t.equal(shortly(await b.authenticate(request(onB, ann))), 401, 'and there')
    t.equal(shortly(await b.authenticate(request(onB, ann))), 'ann', 'sent on purpose')
    t.equal(shortly(await b.authenticate(request(onB))), 'ann')
    t.equal(shortly(await a.authenticate(request(onA))), 'ann', 'logged in again')
    await a.logout(request(onA))
    t.equal(shortly(await b.authenticate(request(onB, ann))), 401, 'each time anew')
  })
})

t.test('revocation of a user', async t => {
  await t.test('voids what was proved before it, at once', async t => {
    const { world, a, b, onA, resumed } = await loggedIn()
    const onB = resumed()
    t.equal(shortly(await b.authenticate(request(onB, ann))), 'ann')
    world.revoked.set('ann', world.clock.now())
    world.clock.advance(1)
    t.equal(shortly(await a.authenticate(request(onA))), 401)
    t.equal(shortly(await b.authenticate(request(onB, ann))), 401, 'asked, not believed')
    t.equal(shortly(await b.authenticate(request(onB, ann))), 'ann', 'proved again')
    t.equal(shortly(await a.authenticate(request(onA))), 'ann')
  })
  await t.test('asks with the lineage, too', async t => {
    const lineage = randomBytes(32)
    const seen: (Buffer | undefined)[] = []
    const world = new World()
    const member = world.member(
      { basic: verify },
      {
        isRevoked: (_identity, of) => {
          seen.push(of)
          return false
        },
      },
    )
    await member.authenticate(request(connection(world.clock, { lineage }), ann))
    t.ok(seen.length > 0 && seen.every(of => of?.equals(lineage)))
  })
  await t.test('voids tokens issued before it', async t => {
    const world = new World()
    const key = signer()
    const member = world.member({
      bearer: {
        key: key.publicPem,
        issuer: 'i',
        audience: 'a',
        algorithms: ['EdDSA'],
      },
    })
    const now = world.clock.now() / 1_000
    const claims = { iss: 'i', aud: 'a', sub: 'ann', exp: now + 600 }
    const bearer = (iat: number) => ({
      authorization: `Bearer ${token(key, { ...claims, iat })}`,
    })
    const socket = connection(world.clock)
    t.equal(shortly(await member.authenticate(request(socket, bearer(now - 9)))), 'ann')
    world.revoked.set('ann', world.clock.now() - 5_000)
    t.equal(shortly(await member.authenticate(request(socket, bearer(now - 9)))), 401)
    t.equal(shortly(await member.authenticate(request(socket, bearer(now - 1)))), 'ann')
  })
})

t.test('a client certificate', async t => {
  const world = new World()
  const member = world.member({ certificate: true, basic: verify })
  const other = world.member({ certificate: true })
  const certificate = {
    raw: Buffer.alloc(1),
    subject: { CN: 'carl' },
    serialNumber: '01',
    fingerprint256: 'AB',
    valid_to: new Date(world.clock.now() + hour).toUTCString(),
  }
  const lineage = randomBytes(32)
  const originalAt = world.clock.now()
  const proved = { certificate, clientAuthorized: true, lineage, originalAt }
  const socket = connection(world.clock, proved)
  const first = await member.authenticate(request(socket))
  t.match(first, {
    identity: {
      subject: 'carl',
      method: 'certificate',
      at: originalAt,
      expiresAt: originalAt + hour,
    },
  })
  const resumed = () => connection(world.clock, { ...proved, resumed: 'peer' })
  t.equal(shortly(await other.authenticate(request(resumed()))), 'carl')
  await t.test('that was not proved in the full handshake is nobody', async t => {
    const claims = { ...proved, clientAuthorized: false, resumed: 'peer' as const }
    const liar = connection(world.clock, claims)
    Object.assign(liar, { authorized: true })
    t.equal(shortly(await other.authenticate(request(liar))), 403, 'with its record')
    const fresh = connection(world.clock, { ...claims, lineage: randomBytes(32) })
    Object.assign(fresh, { authorized: true })
    t.equal(shortly(await other.authenticate(request(fresh))), 403, 'without a record')
  })
  await t.test('with several names, or none, is nobody', async t => {
    for (const CN of [['carl', 'root'], undefined, '', 'a\nb']) {
      const odd = { ...certificate, subject: { CN } }
      const one = connection(world.clock, { certificate: odd, clientAuthorized: true })
      t.equal(shortly(await other.authenticate(request(one))), 403, String(CN))
    }
  })
  await t.test('can name its user elsewhere', async t => {
    const names = (subjectaltname: string) => ({ ...certificate, subjectaltname })
    const byEmail = world.member({ certificate: { subject: 'email' }, realm: 'mail' })
    const of = async (text: string) => {
      const facts = { certificate: names(text), clientAuthorized: true }
      return shortly(await byEmail.authenticate(request(connection(world.clock, facts))))
    }
    t.equal(await of('email:carl@example.com, DNS:x'), 'carl@example.com')
    t.equal(await of('email:a@x, email:b@x'), 403)
    t.equal(await of('DNS:"x, email:root@x"'), 403, 'CVE-2021-44532')
    const byCall = world.member({
      realm: 'call',
      certificate: { subject: ({ serialNumber }) => `no ${serialNumber}` },
    })
    const socket = connection(world.clock, { certificate, clientAuthorized: true })
    t.equal(shortly(await byCall.authenticate(request(socket))), 'no 01')
  })
  await t.test(
    'logs nobody in again after a log-out, until a full handshake',
    async t => {
      await member.logout(request(socket))
      t.equal(shortly(await member.authenticate(request(socket))), 401)
      t.equal(shortly(await other.authenticate(request(resumed()))), 403)
      const full = connection(world.clock, { ...proved, lineage: randomBytes(32) })
      t.equal(shortly(await other.authenticate(request(full))), 'carl')
    },
  )
  await t.test('proves nothing that a revocation has voided since', async t => {
    const facts = { ...proved, lineage: randomBytes(32) }
    world.clock.advance(1_000)
    world.revoked.set('carl', world.clock.now())
    t.equal(
      shortly(await other.authenticate(request(connection(world.clock, facts)))),
      403,
    )
    world.clock.advance(1)
    const full = { ...facts, originalAt: world.clock.now(), lineage: randomBytes(32) }
    const again = connection(world.clock, full)
    t.equal(shortly(await other.authenticate(request(again))), 'carl')
  })
})
