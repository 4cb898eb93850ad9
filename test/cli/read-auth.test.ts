import t from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { authSite, fail, load, pair } from '../fixtures/cli/config-file.ts'

t.test('auth of a site: files beside the config, a realm of its own', async t => {
  const secret = { HANDFAST_SECRET: generateSecret() }
  const all = await load(
    t,
    authSite(
      `basic: {htpasswd: users}, bearer: {issuer: i, audience: a, algorithms: [ES256],
      key: a.crt}, certificate: email, forward: {url: "https://who.example/", ca: a.crt,
      ttl: 1m}, form: {htpasswd: users, path: /in}, ttl: 2h, sign: true, required: false,
      attempts: {perUser: 3}, trustedOrigins: ["https://app.example"], logoutPath: /out,
      rememberBy: tls-session`,
      'clientCa: a.crt, resumption: stateless,',
    ),
    [],
    secret,
  )
  t.match(all.sites[0], {
    resumption: 'stateless',
    auth: {
      realm: 'shop.example',
      basic: { htpasswd: /\/etc\/users$/ },
      bearer: { key: pair.cert },
      certificate: { subject: 'email' },
      forward: { ca: pair.cert, ttl: 60_000 },
      form: { htpasswd: /\/etc\/users$/, path: '/in' },
      ttl: 7_200_000,
      sign: true,
      required: false,
      logoutPath: '/out',
      rememberBy: 'tls-session',
    },
  })
  t.strictSame(structuredClone(all.sites), all.sites, 'fit to be sent to a worker')
  const named = await load(t, authSite('realm: staff, basic: {htpasswd: users}'))
  t.equal(named.sites[0]?.auth?.realm, 'staff')
})

t.test('what is wrong with an auth is said with its place', async t => {
  const cases: [string, string | RegExp][] = [
    ['', /sites\[0\]\.auth: expected settings that hold \(auth: at least one of/],
    [
      'basic: {htpasswd: none}',
      /sites\[0\]\.auth\.basic\.htpasswd: expected a readable file \(ENOENT\), got "none"$/,
    ],
    [
      'form: {htpasswd: .}',
      /sites\[0\]\.auth\.form\.htpasswd: expected a readable file \(it is a folder\)/,
    ],
    [
      'basic: {htpasswd: a.key}',
      /auth\.basic\.htpasswd: expected users with bcrypt hashes \(htpasswd file a\.key line 1 is/,
    ],
    ['basic: {}', /sites\[0\]\.auth\.basic\.htpasswd: expected the path of a file/],
    ['basic: {htpasswd: users, x: 1}', /auth\.basic\.x: unknown key, .* htpasswd$/],
    [
      'certificate: cn',
      /sites\[0\]\.clientCa: expected a file, because auth.certificate/,
    ],
    ['certificate: on', /auth\.certificate: expected cn, email, uri or dns, got "on"/],
    [
      'forward: {url: "https://u:p@a/"}',
      /auth\.forward\.url: expected an http or https URL/,
    ],
    ['bearer: {issuer: i, audience: a, algorithms: [none], key: a.crt}', /algorithms/],
    ['bearer: {issuer: i, audience: a, algorithms: [ES256], key: a.key}', /a public key/],
    ['bearer: {issuer: i, audience: a, algorithms: [HS256], key: a.crt}', /algorithms/],
    ['form: {htpasswd: users, path: //evil}', /form.path must be a path like \/login/],
    ['basic: {htpasswd: users}, ttl: 1', /ttl must be a number/],
    [
      'basic: {htpasswd: users}, rememberBy: session',
      /rememberBy: expected credentials or tls-session, got "session"/,
    ],
    ['basic: {htpasswd: users}, logoutPath: out', /logoutPath must be a path/],
    [
      'basic: {htpasswd: users}, sign: true',
      /auth\.sign: expected false, because true needs farm\.secretFile or HANDFAST_SECRET, got true$/,
    ],
    ['basic: {htpasswd: users}, required: 1', /required: expected true or false, got 1/],
  ]
  for (const [auth, message] of cases) {
    await t.rejects(
      load(t, authSite(auth)),
      { code: 'ERR_HANDFAST_CONFIG', message },
      auth,
    )
  }
  await t.rejects(load(t, authSite('basic: {htpasswd: users}', 'resumption: on,')), {
    message: /resumption: expected auto, stateful, sealed or off, got "on"/,
  })
  const bad = load(
    t,
    authSite('bearer: {issuer: i, audience: a, algorithms: [ES256], key: a.key}'),
  )
  const { message } = await bad.then(fail, (error: Error) => error)
  t.notMatch(message, 'PRIVATE')
})
