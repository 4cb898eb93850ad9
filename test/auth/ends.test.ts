import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Auth } from '../../lib/auth/auth.ts'
import { ann, bob, loggedIn, verify } from '../fixtures/auth/logged-in.ts'
import { signer, token } from '../fixtures/auth/tokens.ts'
import { basic, connection, request, shortly, World } from '../fixtures/auth/world.ts'

const hour = 3_600_000

t.test('log-out', async t => {
  const user = async (
    auth: Auth,
    socket: object,
    headers: Record<string, string> = ann,
  ) => shortly(await auth.authenticate(request(socket, headers)))
  await t.test('is seen on every member at the next request', async t => {
    const { a, b, onA, resumed, lineage, asked } = await loggedIn()
    const onB = resumed()
    t.equal(await user(b, onB), 'ann')
    t.equal(await a.logout(request(onA, ann)), true)
    t.equal(a.subjectOf(lineage), undefined)
    t.equal(asked(), 1)
    t.equal(await user(a, onA), 401, 'asked once who sends the password by itself')
    t.equal(await user(b, onB), 401, 'and there')
    t.equal(await user(b, resumed()), 401, 'and on a new connection')
    t.equal(asked(), 1, 'and nothing is checked')
    t.equal(await user(b, onB), 'ann', 'sent on purpose')
    t.equal(asked(), 2, 'and checked')
    t.equal(await user(b, onB), 'ann')
    t.equal(await user(a, onA), 'ann', 'logged in again')
    t.equal(asked(), 2, 'for all')
    await b.logout(request(onB, ann))
    t.equal(await user(a, onA), 401, 'each time anew')
  })
  await t.test('ends what it shows and nobody else', async t => {
    const { a, b, onA, resumed, asked } = await loggedIn()
    t.equal(await user(a, onA, bob), 'bob')
    t.equal(await b.logout(request(resumed(), bob)), true)
    t.equal(await user(a, onA), 'ann')
    t.equal(await user(b, resumed()), 'ann')
    t.equal(await user(a, onA, bob), 401)
    t.equal(asked(), 2)
    for (const headers of [{}, basic('ann', 'guess'), { via: '1.1 x' }]) {
      t.equal(await a.logout(request(onA, headers)), true)
    }
    t.equal(await user(a, onA), 'ann', 'nor can who shows nothing end anything')
    t.equal(asked(), 2)
  })
  await t.test('by somebody unknown leaves no trace in the table', async t => {
    const { world, a, onA } = await loggedIn()
    const before = world.records(0).length
    for (let i = 0; i < 20; i++) {
      await a.logout(request(connection(world.clock), basic('ann', `guess ${i}`)))
      await a.logout(request(onA, basic('ann', `guess ${i}`)))
    }
    t.equal(world.records(0).length, before)
  })
  await t.test('is not undone by a record that comes late', async t => {
    const { world, a, b, onA, resumed, asked } = await loggedIn()
    const records = world.records(1)
    t.equal(records.length, 2)
    await a.logout(request(onA, ann))
    for (const record of records) t.equal(world.at(1).cache.apply(record), false)
    t.equal(await user(b, resumed()), 401)
    t.equal(asked(), 1)
  })
  await t.test('is not undone by a log-in that was being checked', async t => {
    const world = new World()
    let answer: (yes: boolean) => void = () => {}
    let asked = 0
    const slow = () => {
      asked += 1
      return new Promise<boolean>(resolve => (answer = resolve))
    }
    const member = world.member({ basic: slow })
    const socket = connection(world.clock)
    const checking = member.authenticate(request(socket, ann))
    while (asked === 0) await new Promise(setImmediate)
    await member.logout(request(socket, ann))
    answer(true)
    await checking
    t.equal(await user(member, socket), 401, 'asked once more')
    t.equal(asked, 1)
  })
})

t.test('revocation of a user', async t => {
  await t.test('voids what was proved before it, at once', async t => {
    const { world, a, b, onA, resumed, asked } = await loggedIn()
    const onB = resumed()
    t.equal(shortly(await b.authenticate(request(onB, ann))), 'ann')
    t.equal(shortly(await b.authenticate(request(onB, bob))), 'bob')
    world.revoked.set('ann', world.clock.now())
    world.clock.advance(1)
    t.equal(shortly(await a.authenticate(request(onA, ann))), 401)
    t.equal(shortly(await b.authenticate(request(onB, ann))), 401, 'asked, not believed')
    t.equal(shortly(await b.authenticate(request(resumed(), ann))), 401)
    t.equal(shortly(await b.authenticate(request(onB, bob))), 'bob', 'nobody else is')
    t.equal(asked(), 2)
    t.equal(shortly(await b.authenticate(request(onB, ann))), 'ann', 'proved again')
    t.equal(shortly(await a.authenticate(request(onA, ann))), 'ann')
    t.equal(asked(), 3, 'for all')
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
