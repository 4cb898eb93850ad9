import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { type BearerOptions, bearerMethod } from '../../lib/auth/method/bearer.ts'
import {
  ForwardAuth,
  type ForwardAuthOptions,
} from '../../lib/auth/method/forward-auth.ts'
import { systemClock } from '../../lib/clock.ts'
import { encode, signer, token } from '../fixtures/auth/tokens.ts'
import { HandClock, KeptLog, makeBasis, request } from '../fixtures/auth/world.ts'

t.test('a bearer token', async t => {
  const clock = new HandClock()
  const now = clock.now() / 1_000
  const key = signer()
  const rules = { issuer: 'https://id.example', audience: 'shop', algorithms: ['EdDSA'] }
  const log = new KeptLog()
  const method = (options: Partial<BearerOptions> = {}) =>
    bearerMethod(
      { key: key.publicPem, ...rules, ...options },
      { realm: 'r', clock, log, makeBasis },
    )
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

  t.match(await verify(token(key, good)), {
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
    const one = new ForwardAuth(
      { url: `${url}check?x=1`, ...options },
      { clock, log, makeBasis },
    )
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
