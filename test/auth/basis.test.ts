import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import t, { type Test } from 'tap'
import type { Auth } from '../../lib/auth/auth.ts'
import type { Answer } from '../../lib/auth/decision.ts'
import type { BearerOptions } from '../../lib/auth/method/bearer.ts'
import { signer, token } from '../fixtures/auth/tokens.ts'
import { basic, connection, request, shortly, World } from '../fixtures/auth/world.ts'
import { patience } from '../fixtures/patience.ts'
import { listening } from '../fixtures/tls/servers.ts'
import { until } from '../fixtures/until.ts'

/* What is remembered is good for as long as what it was proved against stays as it was. */

const minute = 60_000

/** Two members, and a lineage with an open connection on each. */
function twoMembers(world: World, make: () => Auth) {
  const members = [make(), make()] as const
  const lineage = randomBytes(32)
  const originalAt = world.clock.now()
  const sockets = members.map((_, n) =>
    connection(world.clock, { lineage, originalAt, resumed: n > 0 ? 'peer' : false }),
  )
  return {
    members,
    /** The outcome on each of the two. */
    async on(headers: Record<string, string>, given: object = {}) {
      const outcomes: (string | number)[] = []
      for (const [n, member] of members.entries()) {
        const asked = request(sockets[n] as object, headers, given)
        outcomes.push(shortly(await member.authenticate(asked)))
      }
      return outcomes
    },
  }
}

t.test('an htpasswd file that changes', async t => {
  const path = join(folder(t), 'users')
  const hash = (password: string) => hashSync(password, 4)
  const bobs = `bob:${hash('staple')}`
  const ann = basic('ann', 'first')
  const bob = basic('bob', 'staple')
  for (const rememberBy of ['credentials', 'tls-session'] as const) {
    await t.test(`logs out whom it concerns: ${rememberBy}`, async t => {
      writeFileSync(path, `ann:${hash('first')}\n${bobs}\n`)
      const world = new World()
      const users = { htpasswd: path }
      const make = () => {
        const auth = world.member({ basic: users, form: users, rememberBy })
        t.teardown(() => auth.close())
        return auth
      }
      const { members, on } = twoMembers(world, make)
      const other = twoMembers(world, () => members[0])
      const cookie = { cookie: await logInByForm(members[0], world) }
      const forms = twoMembers(world, () => members[1])
      t.same(await on(ann), ['ann', 'ann'])
      t.same(await other.on(bob), ['bob', 'bob'])
      t.same(await forms.on(cookie), ['ann', 'ann'])

      writeFileSync(path, `ann:${hash('second')}\n${bobs}\n`)
      world.clock.advance(1_000)
      t.same(await on(ann), [401, 401], 'the old password, on open connections')
      t.same(await on({}), [401, 401], 'nor the session alone')
      t.same(await forms.on(cookie), [401, 401], 'nor the cookie')
      t.same(await on(basic('ann', 'second')), ['ann', 'ann'])
      t.same(await other.on(bob), ['bob', 'bob'], 'nobody else is')

      writeFileSync(path, `${bobs}\n`)
      world.clock.advance(1_000)
      t.same(await on(basic('ann', 'second')), [401, 401], 'taken out')
      t.same(await on({}), [401, 401])
      t.same(await other.on(bob), ['bob', 'bob'])
    })
  }
})

const key = signer()
const rules = { issuer: 'i', audience: 'a', algorithms: ['EdDSA'] }

function bearer(text: string): { authorization: string } {
  return { authorization: `Bearer ${text}` }
}

function claimsAt(world: World, more: object = {}): object {
  const now = world.clock.now() / 1_000
  return { iss: 'i', aud: 'a', sub: 'ann', iat: now, exp: now + 3_600, ...more }
}

t.test('a token that is remembered', async t => {
  const make = (world: World, options: Partial<BearerOptions> = {}) =>
    world.member({ bearer: { key: key.publicPem, ...rules, ...options } })
  await t.test('ends when it runs out', async t => {
    const world = new World()
    const { on } = twoMembers(world, () => make(world))
    const end = world.clock.now() / 1_000 + 60
    const text = bearer(token(key, claimsAt(world, { exp: end })))
    t.same(await on(text), ['ann', 'ann'])
    world.clock.advance(64_999)
    t.same(await on(text), ['ann', 'ann'], 'within the tolerance of clocks')
    world.clock.advance(1)
    t.same(await on(text), [401, 401])
  })
  await t.test('is dated by the own clock where the farm follows one ahead', async t => {
    const world = new World()
    const wall = () => world.clock.now() - 4 * minute
    const { on } = twoMembers(world, () =>
      world.member({ bearer: { key: key.publicPem, ...rules } }, { wall }),
    )
    const now = wall() / 1_000
    const fresh = bearer(token(key, claimsAt(world, { iat: now, exp: now + 60 })))
    t.same(await on(fresh), ['ann', 'ann'])
    const early = claimsAt(world, { iat: now, nbf: now + 60, exp: now + 3_600 })
    t.same(await on(bearer(token(key, early))), [401, 401], 'not yet')
    world.clock.advance(64_999)
    t.same(await on(fresh), ['ann', 'ann'])
    world.clock.advance(1)
    t.same(await on(fresh), [401, 401])
    t.same(await on(bearer(token(key, early))), ['ann', 'ann'])
  })
  await t.test('says nothing of others', async t => {
    const world = new World()
    const { on } = twoMembers(world, () => make(world))
    const good = token(key, claimsAt(world))
    t.same(await on(bearer(good)), ['ann', 'ann'])
    const early = claimsAt(world, { nbf: world.clock.now() / 1_000 + 60 })
    for (const other of [
      token(key, early),
      token(signer(), claimsAt(world)),
      token(key, claimsAt(world, { aud: 'bank' })),
      `${good}x`,
      good.slice(0, -1),
      good.slice(0, good.lastIndexOf('.') + 1),
    ]) {
      t.same(await on(bearer(other)), [401, 401])
    }
    const { on: later } = twoMembers(world, () => make(world))
    t.same(await later(bearer(token(key, early))), [401, 401], 'not yet')
    world.clock.advance(minute)
    t.same(await later(bearer(token(key, early))), ['ann', 'ann'])
    t.same(await on(bearer(good)), ['ann', 'ann'])
    t.same(await on({}), [401, 401])
  })
  await t.test('ends with the key and the rules that it was taken by', async t => {
    const others: [string, Partial<BearerOptions>, string | number][] = [
      ['another key', { key: signer().publicPem }, 401],
      ['another audience', { audience: 'b' }, 401],
      ['another issuer', { issuer: 'j' }, 401],
      ['other claims', { subject: 'email' }, 401],
      ['the same again', {}, 'ann'],
    ]
    for (const [name, options, outcome] of others) {
      const world = new World()
      const makers = [() => make(world), () => make(world, options)]
      const { on } = twoMembers(world, () => (makers.shift() as () => Auth)())
      t.same(await on(bearer(token(key, claimsAt(world)))), ['ann', outcome], name)
    }
  })
})

t.test('the published keys of an issuer', async t => {
  let keys: object[] = []
  let asked = 0
  const jwks = await serve(t, (_request, response) => {
    asked += 1
    response.end(JSON.stringify({ keys }))
  })
  const make = (world: World) => world.member({ bearer: { jwks, ...rules } })
  const other = signer('k2')
  const withId = (kid: string) => ({ alg: 'EdDSA', kid })

  await t.test('are read once for the farm', async t => {
    keys = [key.jwk]
    asked = 0
    const world = new World()
    const { on } = twoMembers(world, () => make(world))
    const text = bearer(token(key, claimsAt(world)))
    for (let i = 0; i < 3; i++) t.same(await on(text), ['ann', 'ann'])
    t.equal(asked, 1)
  })

  for (const [name, after] of [
    ['one that is withdrawn', [other.jwk]],
    ['one that has another id', [{ ...key.jwk, kid: 'k3' }]],
    ['one that has become another under its id', [{ ...other.jwk, kid: 'k1' }]],
    ['all', []],
  ] as const) {
    await t.test(`${name} ends what it has signed`, async t => {
      keys = [key.jwk, other.jwk]
      asked = 0
      const world = new World()
      const { on } = twoMembers(world, () => make(world))
      const text = bearer(token(key, claimsAt(world)))
      t.same(await on(text), ['ann', 'ann'])
      keys = [...after]
      world.clock.advance(10 * minute)
      const before = asked
      await on(text)
      await until(() => asked === before + 2, 'both have looked')
      const deadline = Date.now() + patience
      while ((await on(text)).includes('ann')) {
        if (Date.now() > deadline) throw new Error('still taken')
        await new Promise(setImmediate)
      }
      t.same(await on(text), [401, 401])
      const still = bearer(token(other, claimsAt(world), withId('k2')))
      const kept = (after as readonly object[]).includes(other.jwk)
      t.same(await on(still), kept ? ['ann', 'ann'] : [401, 401])
    })
  }

  await t.test('end what is open, where no request comes to see it', async t => {
    keys = [key.jwk]
    const world = new World()
    const member = make(world)
    let ended = false
    const exchange = { end: () => (ended = true), onOver: () => {} }
    const text = bearer(token(key, claimsAt(world)))
    const asked = request(connection(world.clock), text, { exchange })
    t.equal(shortly(await member.authenticate(asked)), 'ann')
    world.clock.advance(5 * minute)
    keys = []
    world.clock.advance(5 * minute)
    t.equal(ended, false)
    await until(() => {
      world.clock.advance(1_000)
      return ended
    }, 'the open one to end')
  })

  await t.test('that can not be had now stay as they are', async t => {
    keys = [key.jwk]
    const world = new World()
    const { on } = twoMembers(world, () => make(world))
    const text = bearer(token(key, claimsAt(world)))
    t.same(await on(text), ['ann', 'ann'])
    keys = undefined as never
    asked = 0
    world.clock.advance(10 * minute)
    t.same(await on(text), ['ann', 'ann'])
    await until(() => asked === 2, 'both have looked')
    await until(
      () => world.log.lines.filter(line => /not to be had/.test(line)).length === 2,
    )
    t.same(await on(text), ['ann', 'ann'])
    t.equal(asked, 2, 'and not again at once')
    keys = [key.jwk]
  })
})

/** The cookie of ann, on a connection of her own. */
async function logInByForm(auth: Auth, world: World): Promise<string> {
  const socket = connection(world.clock)
  const page = await auth.authenticate(request(socket, {}, { url: '/login' }))
  if (page.outcome !== 'answered') throw new Error(page.outcome)
  const [, value = ''] =
    /name="token" value="([^"]+)"/.exec(String(page.answer.body)) ?? []
  const fields = { username: 'ann', password: 'first', token: value, to: '/' }
  const posted = await auth.authenticate(
    request(
      socket,
      { cookie: cookieOf(page.answer) },
      { method: 'POST', url: '/login', fields },
    ),
  )
  if (posted.outcome !== 'answered') throw new Error(posted.outcome)
  return cookieOf(posted.answer)
}

function cookieOf({ headers }: { readonly headers: Answer['headers'] }): string {
  const [set = ''] = [headers['set-cookie'] ?? ''].flat()
  return set.split(';')[0] ?? ''
}

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'handfast-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

async function serve(
  t: Test,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(listener)
  return `http://127.0.0.1:${await listening(t, server)}/`
}
