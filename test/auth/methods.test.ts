import { once } from 'node:events'
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import t from 'tap'
import { readBasic } from '../../lib/auth/basic.ts'
import { Bcrypt } from '../../lib/auth/bcrypt.ts'
import { type BearerOptions, bearerMethod } from '../../lib/auth/bearer.ts'
import { ForwardAuth, type ForwardAuthOptions } from '../../lib/auth/forward-auth.ts'
import { Htpasswd, parseHtpasswd } from '../../lib/auth/htpasswd.ts'
import { systemClock } from '../../lib/clock.ts'
import { encode, signer, token } from '../fixtures/auth-tokens.ts'
import { HandClock, KeptLog, request } from '../fixtures/auth-world.ts'

const annsHash = hashSync('correct horse', 4)
/** One thread for all: to start one takes a while here. */
const bcryptClock = new HandClock()
const bcrypt = new Bcrypt(bcryptClock, 1_000)
t.teardown(() => bcrypt.close())

t.test('an htpasswd file', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'handfast-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'users')
  const clock = new HandClock()
  const log = new KeptLog()
  let age = 100
  const write = (text: string) => {
    writeFileSync(path, text)
    // Each version is told apart however fast they follow each other.
    age -= 1
    utimesSync(path, age, age)
  }
  write(`# staff\n\nann:${annsHash}\r\n`)
  const users = new Htpasswd(path, { bcrypt, clock, log })

  await t.test('knows its users by their passwords', async t => {
    t.equal(await users.verify('ann', 'correct horse'), true)
    t.equal(await users.verify('ann', 'wrong'), false)
    t.equal(await users.verify('Ann', 'correct horse'), false)
    t.equal(await users.verify('bob', 'correct horse'), false, "not with another's")
    t.equal(await users.verify('', ''), false)
  })

  await t.test('takes what htpasswd -B writes', async t => {
    // `htpasswd -nbB -C 4 ann 'correct horse'` writes $2y$, which is $2b$ by another name.
    write(`ann:${annsHash.replace(/^\$2b/, '$2y')}\n`)
    clock.advance(1_000)
    t.equal(await users.verify('ann', 'correct horse'), true)
  })

  await t.test('is read again when it changes, at most once a second', async t => {
    write(`bob:${annsHash}\n`)
    t.equal(await users.verify('ann', 'correct horse'), true, 'not looked at yet')
    clock.advance(1_000)
    t.equal(await users.verify('ann', 'correct horse'), false)
    t.equal(await users.verify('bob', 'correct horse'), true)
    t.equal(users.knows('bob'), true)
    t.equal(users.knows('ann'), false)
  })

  await t.test('leaves the users as they were when it can not be taken', async t => {
    write('bob:$apr1$abcdefgh$0123456789012345678901\n')
    clock.advance(1_000)
    t.equal(await users.verify('bob', 'correct horse'), true)
    t.match(log.lines.at(-1), /^error .*line 1 has an Apache MD5 hash/)
    rmSync(path)
    clock.advance(1_000)
    t.equal(await users.verify('bob', 'correct horse'), true)
    t.match(log.lines.at(-1), /^error .*ENOENT/)
    const { length } = log.lines
    write('')
    clock.advance(1_000)
    t.equal(await users.verify('bob', 'correct horse'), false, 'an empty one is good')
    t.match(log.lines.slice(length).join(), /read again/)
  })

  await t.test('takes as long for users who do not exist', async t => {
    const seen: string[] = []
    const watched = {
      compare: async (_password: string, hash: string) => {
        seen.push(hash)
        return true
      },
    } as unknown as Bcrypt
    write(`ann:${annsHash}\nbob:${hashSync('x', 5)}\n`)
    const watching = new Htpasswd(path, { bcrypt: watched, clock, log })
    t.equal(await watching.verify('nobody', 'x'), false)
    await watching.verify('nobody', 'x')
    t.equal(seen[0], seen[1], 'always the same hash for a name')
    for (let i = 0; i < 50; i++) await watching.verify(`nobody${i}`, 'x')
    t.equal(new Set(seen).size, 2, 'all costs in the file')
    write('')
    t.equal(
      await new Htpasswd(path, { bcrypt: watched, clock, log }).verify('x', 'x'),
      false,
    )
    t.match(seen.at(-1), /^\$2b\$10\$.{53}$/, 'a hash even when there are none')
  })

  await t.test('is refused with the line and never the hash', async t => {
    const secret = 'c2VjcmV0aGFzaA'
    const cases: [string, RegExp][] = [
      [`ann:${annsHash}\nbob:$apr1$${secret}`, /line 2 has an Apache MD5 hash/],
      [`bob:{SHA}${secret}`, /line 1 has an unsalted SHA-1 hash/],
      [`bob:$6$${secret}`, /line 1 has a SHA crypt hash/],
      [`bob:${secret}`, /line 1 has a hash of an unknown kind/],
      [`bob:${annsHash.slice(0, -1)}`, /line 1 has a damaged bcrypt hash/],
      ['bob:', /line 1 has a hash of an unknown kind, or none/],
      [`${secret}`, /line 1 is not user:hash/],
      [`:${annsHash}`, /line 1 is not user:hash/],
      [`ann:${annsHash}\n#\nann:${annsHash}`, /line 3 names a user for the second time/],
      [`bob:${annsHash.replace('$04$', '$15$')}`, /line 1 has a bcrypt cost of 15/],
      [`bob:${annsHash.replace('$04$', '$03$')}`, /line 1 has a bcrypt cost of 3/],
      [`b\x01b:${annsHash}`, /line 1 has a user name/],
      ['#'.repeat(4 * 1024 * 1024 + 1), /larger than 4 MiB/],
    ]
    for (const [text, message] of cases) {
      t.throws(() => parseHtpasswd(Buffer.from(text), 'users'), {
        code: 'ERR_HANDFAST_CONFIG',
        message,
      })
      try {
        parseHtpasswd(Buffer.from(text), 'users')
      } catch (error) {
        t.notOk(String(error).includes(secret) || String(error).includes(annsHash))
      }
    }
  })
})

t.test('bcrypt in its own thread', async t => {
  await t.test('leaves the caller free to go on', async t => {
    const slow = hashSync('x', 9)
    let ticks = 0
    const ticking = setInterval(() => (ticks += 1), 1)
    const all = Array.from({ length: 5 }, (_, i) =>
      bcrypt.compare(i === 3 ? 'x' : 'y', slow),
    )
    t.same(await Promise.all(all), [false, false, false, true, false])
    clearInterval(ticking)
    t.ok(ticks > 5, `${ticks} ticks meanwhile`)
  })
  await t.test(
    'says that it can not tell when too many wait, or it is closed',
    async t => {
      const bcrypt = new Bcrypt(systemClock)
      const many = Array.from({ length: 129 }, () => bcrypt.compare('x', annsHash))
      t.equal(await many[128], undefined)
      await bcrypt.close()
      t.equal(await many[127], undefined)
      t.equal(await bcrypt.compare('x', annsHash), undefined)
    },
  )
  await t.test('gives up on time', async t => {
    const slow = bcrypt.compare('x', hashSync('x', 9))
    bcryptClock.advance(1_000)
    t.equal(await slow, undefined)
    t.equal(await bcrypt.compare('correct horse', annsHash), true, 'and goes on')
  })
})

t.test('Basic credentials are base64 of user:password in UTF-8', async t => {
  const read = (bytes: string | Buffer) =>
    readBasic(Buffer.from(bytes).toString('base64'))
  t.same(read('ann:a:b'), { user: 'ann', password: 'a:b' })
  t.same(read('Zoë:学'), { user: 'Zoë', password: '学' })
  t.same(read('ann:'), { user: 'ann', password: '' })
  const cases = ['ann', ':x', 'ann:\0x', 'a\nnn:x', Buffer.from([0x61, 0x3a, 0xff])]
  for (const bad of cases) t.equal(read(bad), undefined)
  for (const bad of ['', '%', 'YW5uOng=!', ' ', 'YW5u Og==', 'YW5u'.repeat(1_000)]) {
    t.equal(readBasic(bad), undefined)
  }
})

t.test('a bearer token', async t => {
  const clock = new HandClock()
  const now = clock.now() / 1_000
  const key = signer()
  const rules = { issuer: 'https://id.example', audience: 'shop', algorithms: ['EdDSA'] }
  const log = new KeptLog()
  const method = (options: Partial<BearerOptions> = {}) =>
    bearerMethod({ key: key.publicPem, ...rules, ...options }, { realm: 'r', clock, log })
  const good = {
    iss: 'https://id.example',
    aud: ['shop', 'other'],
    sub: 'ann',
    iat: now - 10,
    exp: now + 600,
    email: 'ann@example.com',
    jti: 'x',
  }
  const verify = (text: string, options = {}) => method(options).verify(text, request({}))

  t.same(await verify(token(key, good)), {
    kind: 'proved',
    proof: {
      subject: 'ann',
      claims: { iss: 'https://id.example', email: 'ann@example.com' },
      at: (now - 10) * 1_000,
      expiresAt: (now + 605) * 1_000,
    },
  })
  const chosen = await verify(token(key, good), { subject: 'email', claims: ['jti'] })
  t.match(chosen, { proof: { subject: 'ann@example.com', claims: { jti: 'x' } } })

  await t.test('is refused', async t => {
    const none = `${encode({ alg: 'none' })}.${encode(good)}.`
    const text = token(key, good)
    const [head, , tag] = text.split('.')
    const cases: [string, string][] = [
      ['of another issuer', token(key, { ...good, iss: 'https://evil.example' })],
      ['for another audience', token(key, { ...good, aud: 'bank' })],
      ['without an audience', token(key, { ...good, aud: undefined })],
      ['without an end', token(key, { ...good, exp: undefined })],
      ['without a subject', token(key, { ...good, sub: undefined })],
      ['with a subject that is no text', token(key, { ...good, sub: 7 })],
      ['not good yet', token(key, { ...good, nbf: now + 60 })],
      ['signed by another key', token(signer(), good)],
      ['not signed', none],
      [
        'changed after it was signed',
        `${head}.${encode({ ...good, sub: 'root' })}.${tag}`,
      ],
      ['with an algorithm that was not allowed', token(key, good, { alg: 'HS256' })],
      ['with a critical header unknown', token(key, good, { alg: 'EdDSA', crit: ['x'] })],
      ['too long', `${text}${'A'.repeat(9_000)}`],
      ['nonsense', 'a.b.c'],
      ['empty', ''],
    ]
    for (const [name, bad] of cases) {
      t.match(await verify(bad), { kind: 'refused', guess: true }, name)
    }
    const expired = await verify(token(key, { ...good, exp: now - 6 }))
    t.match(expired, { kind: 'refused', guess: false, reason: /expired/ })
    const large = { ...good, email: 'x'.repeat(5_000), name: 'y'.repeat(3_500) }
    t.match(await verify(token(key, large)), { kind: 'refused' })
  })

  await t.test('is good within the tolerance of clocks', async t => {
    t.match(await verify(token(key, { ...good, exp: now - 4 })), { kind: 'proved' })
  })

  await t.test('can be signed with a secret', async t => {
    const { createHmac } = await import('node:crypto')
    const secret = 's'.repeat(32)
    const head = `${encode({ alg: 'HS256' })}.${encode(good)}`
    const sign = (by: string) =>
      `${head}.${createHmac('sha256', by).update(head).digest('base64url')}`
    const options = { key: undefined, secret, algorithms: ['HS256'] }
    t.match(await verify(sign(secret), options), { kind: 'proved' })
    t.match(await verify(sign('x'.repeat(32)), options), { kind: 'refused' })
    t.match(await verify(sign(key.publicPem)), { kind: 'refused' }, 'never a public key')
  })

  await t.test('is checked with the keys that the issuer publishes', async t => {
    const answers: (() => [number, string])[] = []
    const url = await serve(t, (_request, response) => {
      const [status, body] = (answers.shift() ?? (() => [500, '']))()
      response.writeHead(status, { 'content-type': 'application/json' }).end(body)
    })
    const jwks = { key: undefined, jwks: url }
    const one = method(jwks)
    answers.push(() => [200, JSON.stringify({ keys: [key.jwk] })])
    t.match(await one.verify(token(key, good), request({})), { kind: 'proved' })
    t.match(await one.verify(token(key, good), request({})), { kind: 'proved' })
    t.match(await one.verify(token(signer(), good), request({})), { kind: 'refused' })
    for (const [status, body] of [
      [500, ''],
      [200, 'nonsense'],
      [200, '{}'],
    ] as const) {
      answers.push(() => [status, body])
      const verdict = await verify(token(key, good), jwks)
      t.match(verdict, { kind: 'unavailable', status: 503 }, `${status} ${body}`)
    }
    const gone = { key: undefined, jwks: 'http://127.0.0.1:1/' }
    t.match(await verify(token(key, good), gone), { kind: 'unavailable' })
  })

  t.test('needs options that say what is taken', async t => {
    const bad: [Partial<Record<keyof BearerOptions, unknown>>, RegExp][] = [
      [{ algorithms: undefined }, /algorithms must be given/],
      [{ algorithms: [] }, /algorithms must be given/],
      [{ algorithms: ['none'] }, /none is not one of/],
      [{ algorithms: ['HS256'] }, /HS256 is not one of/],
      [{ key: undefined, secret: 's'.repeat(32) }, /EdDSA is not one of HS256/],
      [{ key: undefined, secret: 'short', algorithms: ['HS256'] }, /at least 32 bytes/],
      [{ secret: 's'.repeat(32) }, /exactly one of/],
      [{ key: undefined }, /exactly one of/],
      [{ key: 'my private notes' }, /key is no public key/],
      [{ key: undefined, jwks: 'http://id.example/keys' }, /must be an https URL/],
      [{ key: undefined, jwks: 'keys' }, /jwks is no URL/],
      [{ issuer: undefined }, /issuer must be given/],
      [{ audience: [] }, /audience must be given/],
      [{ clockTolerance: 3_600 }, /clockTolerance/],
    ]
    for (const [options, message] of bad) {
      t.throws(() => method(options as Partial<BearerOptions>), {
        code: 'ERR_HANDFAST_CONFIG',
        message,
      })
    }
    t.notMatch(log.lines.join(), 'private notes')
  })
  t.notMatch(log.lines.join(), token(key, good).slice(0, 60))
})

t.test('forward-auth', async t => {
  const asked: { url: string | undefined; headers: Record<string, unknown> }[] = []
  let answer: RequestListener = (_request, response) => {
    response.writeHead(200, { 'x-forwarded-user': 'ann', 'x-mail': 'a@x' }).end('ok')
  }
  const url = await serve(t, (incoming, response) => {
    asked.push({ url: incoming.url, headers: incoming.headers })
    answer(incoming, response)
  })
  const log = new KeptLog()
  const forward = (options: Partial<ForwardAuthOptions> = {}, clock = systemClock) => {
    const one = new ForwardAuth({ url: `${url}check?x=1`, ...options }, { clock, log })
    t.teardown(() => one.close())
    return one
  }
  const asking = request(
    { encrypted: true, remoteAddress: '192.0.2.1' },
    {
      cookie: 'sso=1',
      authorization: 'Bearer sesame',
      'x-forwarded-user': 'root',
      'x-forwarded-for': '6.6.6.6',
      'x-other': 'x',
    },
    { method: 'POST', url: '/cart?id=1' },
  )

  await t.test('says who it is, and is told what is asked for', async t => {
    const one = forward({ claimHeaders: { email: 'X-Mail', phone: 'x-phone' } })
    t.match(await one.ask(asking), {
      kind: 'proved',
      proof: { subject: 'ann', claims: { email: 'a@x' } },
    })
    t.match(asked.at(-1), {
      url: '/check?x=1',
      headers: {
        cookie: 'sso=1',
        authorization: 'Bearer sesame',
        'x-forwarded-for': '192.0.2.1',
        'x-forwarded-proto': 'https',
        'x-forwarded-host': 'shop.example',
        'x-forwarded-method': 'POST',
        'x-original-uri': '/cart?id=1',
      },
    })
    t.notOk(asked.at(-1)?.headers['x-forwarded-user'] || asked.at(-1)?.headers['x-other'])
  })

  await t.test('passes a refusal on in the words of the other server', async t => {
    for (const status of [401, 403]) {
      answer = (_request, response) =>
        response
          .writeHead(status, { 'www-authenticate': 'Sso', server: 'x', location: '/x' })
          .end('no')
      const verdict = await forward().ask(asking)
      t.match(verdict, {
        kind: 'answered',
        guess: status === 401,
        answer: {
          status,
          body: Buffer.from('no'),
          headers: { 'www-authenticate': 'Sso' },
        },
      })
      t.notMatch(verdict, { answer: { headers: { location: String } } })
    }
  })

  await t.test('lets nobody in when the other server', async t => {
    const cases: [string, RequestListener, 502 | 503][] = [
      ['fails', (_, response) => response.writeHead(500).end(), 502],
      [
        'redirects',
        (_, response) => response.writeHead(302, { location: '/' }).end(),
        502,
      ],
      ['names nobody', (_, response) => response.writeHead(200).end(), 502],
      ['hangs up', incoming => incoming.socket.destroy(), 503],
      ['says too much', (_, r) => r.writeHead(200).end(Buffer.alloc(70_000)), 503],
      [
        'names two',
        (_, r) => r.setHeader('x-forwarded-user', ['ann', '\u0001']).writeHead(200).end(),
        502,
      ],
    ]
    for (const [name, listener, status] of cases) {
      answer = (incoming, response) => {
        try {
          listener(incoming, response)
        } catch {
          response.writeHead(204).end()
        }
      }
      t.match(await forward().ask(asking), { kind: 'unavailable', status }, name)
    }
    const gone = await forward({ url: 'http://127.0.0.1:1/' }).ask(asking)
    t.match(gone, { kind: 'unavailable', status: 503 }, 'is not there')
  })

  await t.test('gives up on time, before and inside the answer', async t => {
    const listeners: RequestListener[] = [
      () => {},
      (_, response) => response.writeHead(200, { 'x-forwarded-user': 'ann' }).write('x'),
    ]
    for (const listener of listeners) {
      const clock = new HandClock()
      const came = new Promise<void>(resolve => {
        answer = (incoming, response) => {
          listener(incoming, response)
          resolve()
        }
      })
      const verdict = forward({ timeout: 1_000 }, clock).ask(asking)
      await came
      clock.advance(1_000)
      t.match(await verdict, { kind: 'unavailable', status: 503 })
    }
  })
  t.notMatch(log.lines.join(), 'sesame')
})

async function serve(
  t: { teardown(fn: () => unknown): void },
  listener: RequestListener,
): Promise<string> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}
