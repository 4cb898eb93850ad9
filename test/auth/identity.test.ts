import { createHash, createHmac } from 'node:crypto'
import t from 'tap'
import { type Identity, isSubject, noBasis } from '../../lib/auth/identity.ts'
import {
  identityHeaders,
  isIdentityHeader,
  stripIdentityHeaders,
  verifyIdentityHeaders,
} from '../../lib/auth/identity-headers.ts'
import {
  type Login,
  loginHeaderLength,
  loginTagLength,
  readLogin,
  writeLogin,
} from '../../lib/auth/login/identity-record.ts'
import { LoginCookie, loginKey } from '../../lib/auth/login/login-cookie.ts'
import { fromOwnSite } from '../../lib/auth/request/own-site.ts'
import type { AuthRequest } from '../../lib/auth/request/request.ts'

const macKey = Buffer.alloc(32, 7)
const binding = { key: Buffer.alloc(32, 1), serverName: 'shop.example' }
const ann: Identity = {
  subject: 'ann',
  claims: { email: 'ann@example.com', groups: ['a', 'b'], level: 3, vip: true },
  method: 'basic',
  at: 1_800_000_000_000,
  expiresAt: 1_800_000_360_000,
}
const basis = Buffer.alloc(16, 5)
const print = Buffer.alloc(16, 6)
const login: Login = { kind: 'identity', identity: ann, basis }
const logins: Login[] = [
  { kind: 'identity', identity: ann, basis },
  {
    kind: 'identity',
    identity: { ...ann, subject: 'Zoë 学', claims: {}, method: 'form' },
    basis: noBasis,
  },
  { kind: 'reference', key: loginKey(Buffer.alloc(32, 9)), expiresAt: ann.expiresAt },
  { kind: 'shared', expiresAt: ann.expiresAt },
]

t.test('a record comes back as it was written', async t => {
  for (const login of logins) {
    t.same(readLogin(writeLogin(login, binding, macKey), binding, macKey), login)
  }
})

t.test('the layout is what the drawing says', async t => {
  t.equal(loginHeaderLength, 56)
  t.equal(loginTagLength, 16)
  const bytes = writeLogin(login, { ...binding, print }, macKey)
  t.equal(bytes.length, 56 + 3 + JSON.stringify(ann.claims).length + 16)
  t.same([...bytes.subarray(0, 2)], [2, 1])
  t.equal(bytes.readUIntBE(2, 6), ann.at)
  t.equal(bytes.readUIntBE(8, 6), ann.expiresAt)
  const name = createHash('sha256').update('shop.example').digest().subarray(0, 8)
  t.same(bytes.subarray(14, 22), name)
  t.same(bytes.subarray(22, 38), basis)
  t.same(bytes.subarray(38, 54), print)
  t.equal(bytes.readUInt16BE(54), 3)
  t.equal(bytes.toString('utf8', 56, 59), 'ann')
})

t.test('a record is nobody when', async t => {
  const bytes = writeLogin(login, binding, macKey)
  t.test('any bit of it is turned', async t => {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const bad = Buffer.from(bytes)
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7))
      if (readLogin(bad, binding, macKey) !== undefined) t.fail(`bit ${bit}`)
    }
    t.pass('all of them')
  })
  t.test('it is cut short or has more behind it', async t => {
    for (let length = 0; length < bytes.length; length++) {
      t.equal(readLogin(bytes.subarray(0, length), binding, macKey), undefined)
    }
    t.equal(readLogin(Buffer.concat([bytes, bytes]), binding, macKey), undefined)
  })
  t.test('it was moved to another key, server name, or realm', async t => {
    const elsewhere = { ...binding, key: Buffer.alloc(32, 2) }
    t.equal(readLogin(bytes, elsewhere, macKey), undefined)
    const named = { ...binding, serverName: 'admin.example' }
    t.equal(readLogin(bytes, named, macKey), undefined)
    t.equal(readLogin(bytes, binding, Buffer.alloc(32, 8)), undefined)
    t.same(readLogin(bytes, { ...binding, serverName: undefined }, macKey), login)
  })
  t.test('it was made with other credentials, or without any', async t => {
    const shown = writeLogin(login, { ...binding, print }, macKey)
    t.same(readLogin(shown, { ...binding, print }, macKey), login)
    const others = { ...binding, print: Buffer.alloc(16, 7) }
    t.equal(readLogin(shown, others, macKey), undefined)
    t.equal(readLogin(shown, binding, macKey), undefined)
    t.equal(readLogin(bytes, { ...binding, print }, macKey), undefined)
  })
  t.test('it is well signed nonsense', async t => {
    const body = bytes.subarray(0, -16)
    const claims = JSON.stringify(ann.claims)
    const text = (at: number, value: number) => {
      const copy = Buffer.from(body)
      copy[at] = value
      return copy
    }
    const cases: Record<string, Buffer> = {
      'another version': text(0, 1),
      'an unknown kind': text(1, 6),
      'shared, and yet somebody': text(1, 0),
      'a subject longer than the record': text(54, 0xff),
      'no subject': Buffer.concat([text(55, 0).subarray(0, 56), Buffer.from(claims)]),
      'a subject with a line end': text(56, 10),
      'a subject that is no UTF-8': text(56, 0xff),
      'claims that are a list': Buffer.concat([body.subarray(0, 59), Buffer.from('[]')]),
      'claims that are null': Buffer.concat([body.subarray(0, 59), Buffer.from('null')]),
      'no claims': body.subarray(0, 59),
      'claims behind a reference': text(1, 16),
    }
    for (const [name, forged] of Object.entries(cases)) {
      const tag = createHmac('sha256', macKey)
        .update(Buffer.from([binding.key.length]))
        .update(binding.key)
        .update(forged)
        .digest()
        .subarray(0, 16)
      const value = Buffer.concat([forged, tag])
      t.equal(readLogin(value, binding, macKey), undefined, name)
    }
  })
})

t.test('a subject has no control characters, is not empty and not too long', async t => {
  for (const good of ['ann', 'Zoë', 'CN=ann, O=x', 'a b']) t.ok(isSubject(good), good)
  for (const bad of ['', 'a\nb', 'a\0', '\x7f', '\ud800', 'x'.repeat(1_025), 7, null]) {
    t.notOk(isSubject(bad), JSON.stringify(bad).slice(0, 20))
  }
})

t.test('headers to a backend', async t => {
  t.same(identityHeaders(ann), {
    'x-forwarded-user': 'ann',
    'x-forwarded-auth-method': 'basic',
  })
  t.test('can not be broken out of', async t => {
    const evil = { ...ann, subject: 'a|b%\r\nx: y 学' }
    const headers = identityHeaders(evil)
    t.equal(headers['x-forwarded-user'], 'a%7Cb%25%0D%0Ax:%20y%20%E5%AD%A6')
  })
  t.test('are believed when signed, for a while', async t => {
    const sign = 'k'.repeat(32)
    const now = 1_800_000_000_000
    const options = { sign, now, prefix: 'x-shop-' }
    const zoe = { ...ann, subject: 'Zoë|学' }
    const headers = identityHeaders(zoe, options)
    const verify = (changed: object, later = 0) =>
      verifyIdentityHeaders(
        { ...headers, ...changed },
        {
          ...options,
          now: now + later,
        },
      )
    t.same(verify({}), { subject: 'Zoë|学', method: 'basic' })
    t.same(verify({}, 59_999), { subject: 'Zoë|学', method: 'basic' })
    t.equal(verify({}, 60_000), undefined)
    t.equal(verify({ 'x-shop-user': 'bob' }), undefined)
    t.equal(verify({ 'x-shop-auth-method': 'form' }), undefined)
    t.equal(verify({ 'x-shop-auth-method': 'constructor' }), undefined)
    t.equal(verify({ 'x-shop-auth-signature': undefined }), undefined)
    const stretched = headers['x-shop-auth-signature']?.replace(/e=\d/, 'e=9')
    t.equal(verify({ 'x-shop-auth-signature': stretched }), undefined)
    t.equal(verifyIdentityHeaders(headers, { ...options, sign: 'other' }), undefined)
    const short = identityHeaders({ ...ann, expiresAt: now + 5 }, options)
    t.equal(verifyIdentityHeaders(short, { ...options, now: now + 5 }), undefined)
  })
  t.test('of the client are taken off, in every spelling', async t => {
    for (const name of [
      'X-Forwarded-User',
      'x_forwarded_user',
      'X-Forwarded_Auth-Signature',
      'Remote-User',
      'X.Remote~User',
      'X-Forwarded-Groups',
      'X-Auth-Request-User',
      'X_Auth_Request_Access_Token',
    ]) {
      t.ok(isIdentityHeader(name), name)
    }
    t.ok(isIdentityHeader('X_Shop_User', 'x-shop-'))
    for (const name of [
      'x-forwarded-for',
      'x-forwarded-users',
      'x-auth-token',
      'x-user-agent',
      'user',
      'authorization',
    ]) {
      t.notOk(isIdentityHeader(name), name)
    }
    const given = { host: 'h', 'x_forwarded-user': 'root', 'x-forwarded-for': '::1' }
    t.same(stripIdentityHeaders(given), { host: 'h', 'x-forwarded-for': '::1' })
  })
})

t.test('the cookie of a form log-in', async t => {
  const cookie = new LoginCookie('__Host-handfast', macKey)
  const id = Buffer.alloc(32, 5)
  const now = 1_800_000_000_000
  const set = cookie.issue(id, now, now + 60_000)
  const value = /=([^;]+)/.exec(set)?.[1] as string
  t.match(set, /; Max-Age=60; Path=\/; Secure; HttpOnly; SameSite=Lax$/)
  t.same(cookie.read(`a=b; __Host-handfast=${value}`, now), [loginKey(id)])
  t.notOk(loginKey(id).includes(id), 'the table does not hold what the client shows')
  t.test('is nothing when', async t => {
    const cases: Record<string, string> = {
      'its id is changed': `A${value}`.slice(0, 43) + value.slice(43),
      'its expiry is changed': value.replace(/\.\w/, '.z'),
      'its signature is changed': value.replace(/.$/, c => (c === 'A' ? 'E' : 'A')),
      'it is cut': value.slice(0, -1),
      'it has no signature': value.replace(/\.[^.]*$/, ''),
      'it is empty': '',
    }
    for (const [name, changed] of Object.entries(cases)) {
      t.not(changed, value)
      t.same(cookie.read(`__Host-handfast=${changed}`, now), [], name)
    }
    t.same(cookie.read(`__Host-handfast=${value}`, now + 60_000), [], 'it has run out')
    t.same(cookie.read(`__Host-handfas=${value}`, now), [], 'it has another name')
    const other = new LoginCookie('__Host-handfast', Buffer.alloc(32, 6))
    t.same(other.read(`__Host-handfast=${value}`, now), [], 'it is of another realm')
    const many = [
      ...Array(1_000).fill('__Host-handfast=x'),
      `__Host-handfast=${value}`,
    ].join(';')
    t.same(cookie.read(many, now), [], 'it hides behind a thousand others')
  })
})

t.test('a log-in that is sent along by itself serves our own pages only', async t => {
  const site = (headers: Record<string, string>, method = 'GET') => {
    const request: AuthRequest = {
      method,
      url: '/',
      headers: { host: 'shop.example', ...headers },
      socket: { encrypted: true },
    }
    return fromOwnSite(request, new Set(['https://app.example']))
  }
  const link = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  const yes: [string, Record<string, string>, string?][] = [
    ['no browser', {}, 'POST'],
    ['our own page', { 'sec-fetch-site': 'same-origin' }, 'POST'],
    ['the address bar', { 'sec-fetch-site': 'none', ...link }],
    ['a link on another page', { 'sec-fetch-site': 'cross-site', ...link }],
    ['our own origin', { origin: 'https://shop.example' }, 'POST'],
    ['our own origin with port', { origin: 'https://shop.example:443' }, 'POST'],
    [
      'HTTP/2',
      { ':authority': 'Shop.example:8443', origin: 'https://shop.example:8443' },
    ],
    [
      'a trusted origin',
      { origin: 'https://app.example', 'sec-fetch-site': 'cross-site' },
    ],
  ]
  const no: [string, Record<string, string>, string?][] = [
    ['a form on another page', { 'sec-fetch-site': 'cross-site', ...link }, 'POST'],
    ['a form of a sister host', { 'sec-fetch-site': 'same-site', ...link }, 'POST'],
    ['an image', { 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'image' }],
    ['a frame', { 'sec-fetch-site': 'cross-site', ...link, 'sec-fetch-dest': 'iframe' }],
    ['an unknown word', { 'sec-fetch-site': 'sometimes' }],
    ['another origin', { origin: 'https://evil.example' }, 'POST'],
    ['a sandboxed page', { origin: 'null' }, 'POST'],
    ['our name without TLS', { origin: 'http://shop.example' }, 'POST'],
    ['another port', { origin: 'https://shop.example:8443' }, 'POST'],
    ['a host that is a user', { host: 'shop.example@evil', origin: 'https://evil' }],
    ['a host that is a path', { host: 'evil/shop.example', origin: 'https://evil' }],
    [
      'a WebSocket of another page',
      { origin: 'https://evil.example', upgrade: 'websocket' },
    ],
  ]
  for (const [name, headers, method] of yes) t.ok(site(headers, method), name)
  for (const [name, headers, method] of no) t.notOk(site(headers, method), name)
})
