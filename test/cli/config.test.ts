import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import t, { type Test } from 'tap'
import {
  type Certificate,
  localhostCertificate,
  makeCertificate,
} from '../../lib/cli/certs.ts'
import { loadSettings } from '../../lib/cli/config/load-settings.ts'
import { readProxyFlags } from '../../lib/cli/config/proxy-flags.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { needsRestart, type Settings } from '../../lib/serve/settings.ts'
import { fakeIo } from '../fixtures/cli-io.ts'

let pair: Certificate
let other: Certificate

t.before(async () => {
  pair = await makeCertificate(localhostCertificate)
  other = await makeCertificate(localhostCertificate)
})

const sites = 'sites: [{cert: a.crt, key: a.key, backends: ["http://127.0.0.1:3000"]}]\n'

/** Loads a config file that lies beside a certificate, with flags after it if any. */
async function load(
  t: Test,
  yaml: string,
  flags: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Settings> {
  const cwd = t.testdir({
    etc: {
      'handfast.yaml': yaml,
      'a.crt': pair.cert,
      'a.key': pair.key,
      'other.key': other.key,
      'text.pem': 'not PEM',
      'broken.pem': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      'locked.key': pair.key.replace('PRIVATE', 'ENCRYPTED PRIVATE'),
      'short.secret': 'c2hvcnQ',
      users: `ann:${hashSync('word', 4)}\n`,
    },
  })
  const all = ['--config', 'etc/handfast.yaml', ...flags]
  return await loadSettings(readProxyFlags(all), fakeIo(cwd, env))
}

t.test('a whole config file', async t => {
  const secret = generateSecret()
  const settings = await load(
    t,
    `
listen: 127.0.0.1:8443
sites:
  - names: [Shop.Example, '*.shop.example']
    cert: a.crt
    key: a.key
    clientCa: a.crt
    clientCertificate: optional
    backends: [http://10.0.0.5:3000, "https://[::1]:3001"]
    backendCa: a.crt
  - cert: a.crt
    key: a.key
    backends: [http://127.0.0.1:3000]
farm:
  name: shop
  members: [10.0.0.1, '10.0.0.2:7000']
  listen: 7001
  advertise: 10.0.0.3
  memory: 512MiB
  sessionTimeout: 2h
  lookupBudget: 20
  mintLimit: 0
limits:
  headersTimeout: 1.5s
  maxBodyBytes: 10MiB
  maxConnections: 500
tls:
  minVersion: TLSv1.3
trustedProxies: [10.0.0.0/8, "::1"]
workers: 2
logLevel: warn
`,
    [],
    { HANDFAST_SECRET: secret },
  )
  t.match(settings, {
    listen: { host: '127.0.0.1', port: 8443 },
    farm: {
      name: 'shop',
      secret,
      members: ['10.0.0.1', '10.0.0.2:7000'],
      listen: { port: 7001 },
      advertise: '10.0.0.3',
      memory: 512 * 1024 * 1024,
      sessionTimeout: 7_200_000,
      lookupBudget: 20,
      mintLimit: 0,
    },
    tls: { minVersion: 'TLSv1.3' },
    trustedProxies: ['10.0.0.0/8', '::1'],
    workers: 2,
    logLevel: 'warn',
  })
  t.strictSame(settings.limits, {
    headersTimeout: 1_500,
    maxBodyBytes: 10 * 1024 * 1024,
    maxConnections: 500,
  })
  t.match(settings.sites[0], {
    names: ['shop.example', '*.shop.example'],
    cert: pair.cert,
    key: pair.key,
    clientCa: pair.cert,
    clientCertificate: 'optional',
    backends: ['http://10.0.0.5:3000', 'https://[::1]:3001'],
    backendCa: pair.cert,
  })
  t.match(settings.sites[1], { names: [], clientCertificate: 'off' })
  t.strictSame(settings.warnings, [])
})

t.test('an error names the place, the value and what was expected', async t => {
  const cases: [string, string][] = [
    ['', 'handfast.yaml: sites: expected a list, got nothing'],
    ['[]', ':1: (top level): expected a mapping, got a list'],
    ['sites: []', ':1: sites: expected at least one entry, got a list'],
    ['sites: [{}]', ':1: sites[0].cert: expected the path of a file, got nothing'],
    [
      `sites:\n  - cert: a.crt\n    key: a.key\n    backends: [http://x, ftp://y]`,
      ':4: sites[0].backends[1]: expected http://HOST[:PORT] or https://HOST[:PORT], got "ftp://y"',
    ],
    [
      `sites: [{cert: a.crt, key: a.key, backends: []}]`,
      ':1: sites[0].backends: expected at least one entry, got a list',
    ],
    [
      `${sites}listn: 8443`,
      ':2: listn: unknown key, expected one of listen, sites, farm',
    ],
    [
      `${sites}limits:\n  idelTimeout: 3`,
      ':3: limits.idelTimeout: unknown key, expected one of headersTimeout,',
    ],
    [
      `${sites}tls: {min: 3}`,
      ':2: tls.min: unknown key, expected one of minVersion, maxV',
    ],
    [
      `${sites}farm: {nam: x}`,
      ':2: farm.nam: unknown key, expected one of name, secret,',
    ],
    [
      'sites: [{certificate: x}]',
      ':1: sites[0].cert: expected the path of a file, got nothing',
    ],
    [`${sites}listen: 99999`, ':2: listen: expected [HOST:]PORT, got 99999'],
    [`${sites}limits: 5`, ':2: limits: expected a mapping, got 5'],
    [
      `${sites}limits:\n  idleTimeout: 5 minutes`,
      ':3: limits.idleTimeout: expected milliseconds or a time such as 500ms, 30s, 1h, ' +
        'got "5 minutes"',
    ],
    [`${sites}limits: {bodyTimeout: -1}`, 'limits.bodyTimeout: expected milliseconds'],
    [`${sites}limits: {bodyTimeout: 30d}`, 'limits.bodyTimeout: expected milliseconds'],
    [
      `${sites}limits: {maxBodyBytes: 1MB}`,
      'limits.maxBodyBytes: expected bytes or a size',
    ],
    [`${sites}limits: {bodyTimeout: 0}`, 'limits.bodyTimeout must be'],
    [`${sites}farm: {lookupBudget: 1h}`, 'option lookupBudget must be'],
    [`${sites}farm: {mintLimit: -1}`, 'farm.mintLimit: expected a whole number, 0 for'],
    [
      `${sites}trustedProxies: [10.0.0.0/33]`,
      'trustedProxies[0]: expected an IP address',
    ],
    [`${sites}workers: 0`, 'workers: expected a whole number from 1, got 0'],
    [`${sites}logLevel: loud`, 'expected debug, info, warn, error or silent, got "loud"'],
    [`${sites}tls: {minVersion: TLSv1.1}`, 'expected TLSv1.2 or TLSv1.3, got "TLSv1.1"'],
    [
      `${sites}tls: {minVersion: TLSv1.3, maxVersion: TLSv1.2}`,
      'tls.maxVersion: expected a version not below minVersion',
    ],
    [
      `${sites}farm: {members: [a b]}`,
      'farm.members[0]: expected HOST[:PORT], got "a b"',
    ],
    [`${sites}farm: {members: 7}`, 'farm.members: expected a list, got 7'],
    [
      `${sites}farm: {sessionTimeout: 2h, lineageTimeout: 1h}`,
      'farm.lineageTimeout: expected at least sessionTimeout, got "1h"',
    ],
    [
      `${sites}farm: {advertise: a.test, listen: 0}`,
      'farm.listen: expected a port other than 0',
    ],
    [`${sites}farm: {listen: 7000}`, 'joining a farm needs its secret'],
    [
      `${sites}farm: {secretFile: none}`,
      'farm.secretFile: expected a readable file (ENOENT)',
    ],
    [
      `${sites}farm: {secretFile: short.secret}`,
      'farm.secretFile: expected a file with 32',
    ],
    [sites + sites, 'not valid YAML (duplicate key)'],
    ['sites: [', ':1: not valid YAML ('],
    ['a: *b', 'not valid YAML ('],
    [
      sites.replace('a.crt', 'no.crt'),
      'sites[0].cert: expected a readable file (ENOENT)',
    ],
    [sites.replace('a.crt', 'text.pem'), 'sites[0].cert: expected a file in PEM form'],
    [
      sites.replace('a.crt', 'broken.pem'),
      'sites[0].cert: expected a file with a certifi',
    ],
    [
      sites.replace('a.key', 'other.key'),
      'the private key that belongs to the certificate',
    ],
    [sites.replace('a.key', 'locked.key'), 'a private key that is not encrypted'],
    [sites.replace('cert', 'clientCa: broken.pem, cert'), 'sites[0].clientCa: expected'],
    [
      sites.replace('cert', 'clientCertificate: required, cert'),
      'sites[0].clientCa: expected a file, because clientCertificate is required, got nothing',
    ],
    [
      `sites:\n${'  - {cert: a.crt, key: a.key, backends: ["http://x"]}\n'.repeat(2)}`,
      ':3: sites[1].names: expected names, because sites[0] serves all others, got nothing',
    ],
    [
      `sites:\n${'  - {names: [a.test], cert: a.crt, key: a.key, backends: ["http://x"]}\n'.repeat(2)}`,
      ':3: sites[1].names[0]: expected another name than those of sites[0], got "a.test"',
    ],
    [
      sites.replace('cert', 'names: ["a b"], cert'),
      'sites[0].names[0]: expected a host name, or *. and a host name, got "a b"',
    ],
  ]
  for (const [yaml, expected] of cases) {
    const error = await load(t, yaml).then(
      () => undefined,
      (error: Error) => error,
    )
    t.match(error, { code: 'ERR_HANDFAST_CONFIG', message: expected }, yaml)
    t.notMatch(error?.message, '\n', 'one line')
  }
})

t.test('no error shows a secret, wherever in the file it was put', async t => {
  const secret = generateSecret()
  const nearly = secret.slice(0, 20)
  const cases = [
    `${sites}farm: {secret: ${nearly}}`,
    `${sites}farm: {secret: [${secret}]}`,
    `${sites}farm: {secretFile: ${secret}}`,
    `${sites}farm: ${secret}`,
    `${sites}farm: {name: ${secret}${secret}}`,
    `${sites}farm: {members: ["${secret} "]}`,
    `${sites}farm: {secret: "${secret}\nlisten: 1`,
    `${sites}farm: {secret: ${secret}} ${secret}`,
    `${sites}secret: ${secret}`,
    `sites: [{cert: a.crt, key: "${secret}", backends: ["http://x"]}]`,
    `sites: [{cert: a.crt, key: "-----BEGIN PRIVATE KEY-----\\n${nearly}", backends: ["http://x"]}]`,
    `- ${secret}`,
  ]
  for (const yaml of cases) {
    await load(t, yaml).then(
      () => t.fail(`accepted ${yaml}`),
      (error: Error) => t.notMatch(error.message, nearly, yaml),
    )
  }
})

t.test(
  'the secret: file before environment before config, and advice about each',
  async t => {
    const [inline, env, file] = [generateSecret(), generateSecret(), generateSecret()]
    const yaml = `${sites}farm: {secret: ${inline}}`
    const fromInline = await load(t, yaml)
    t.equal(fromInline.farm.secret, inline)
    t.match(fromInline.warnings, [/stands in the config file/])
    t.equal((await load(t, yaml, [], { HANDFAST_SECRET: env })).farm.secret, env)

    const cwd = t.testdir({ 'farm.secret': `${file}\n` })
    const path = join(cwd, 'farm.secret')
    chmodSync(path, 0o644)
    const flags = [
      '--backend',
      'http://x',
      '--secret-file',
      'farm.secret',
      '--farm-listen',
      '0',
    ]
    const io = fakeIo(cwd, { HANDFAST_SECRET: env })
    const open = await loadSettings(readProxyFlags(flags), io)
    t.equal(open.farm.secret, file)
    t.match(open.warnings, [
      /self-signed/,
      /farm.secret can be read by others: chmod 600/,
    ])
    chmodSync(path, 0o600)
    t.strictSame((await loadSettings(readProxyFlags(flags), io)).warnings, [])
  },
)

t.test('flags come before the config file', async t => {
  const yaml = `${sites}listen: 1\nworkers: 7\nlogLevel: error\nfarm: {name: a, listen: 5, transport: auto}`
  const flags = ['--listen', '[::1]:2', '--workers', '1', '--log-level', 'debug']
  const farm = [
    '--farm-name',
    'b',
    '--farm-listen',
    '127.0.0.1:6',
    '--farm-advertise',
    'h',
    '--transport',
    'unicast',
  ]
  const member = ['--member', 'a.test,b.test:1', '--member', '[::1]:2']
  const settings = await load(t, yaml, [...flags, ...farm, ...member], {
    HANDFAST_SECRET: generateSecret(),
  })
  t.match(settings, {
    listen: { host: '::1', port: 2 },
    workers: 1,
    logLevel: 'debug',
    farm: {
      name: 'b',
      listen: { host: '127.0.0.1', port: 6 },
      advertise: 'h',
      transport: 'unicast',
      members: ['a.test', 'b.test:1', '[::1]:2'],
    },
  })
})

t.test(
  'a site without names from flags, with a certificate made on first use',
  async t => {
    const io = fakeIo(t.testdir({}))
    const flags = readProxyFlags([
      '--backend',
      'http://127.0.0.1:3000/',
      '--workers',
      '1',
    ])
    const settings = await loadSettings(flags, io)
    t.match(settings, {
      listen: { host: undefined, port: 8443 },
      sites: [
        { names: [], backends: ['http://127.0.0.1:3000'], clientCertificate: 'off' },
      ],
      farm: { name: 'handfast', members: [], listen: undefined, secret: undefined },
      warnings: [/made certs\/localhost.crt, self-signed/],
    })
    t.strictSame((await loadSettings(flags, io)).warnings, [], 'said once')
  },
)

t.test('members without a farm port listen on the usual one', async t => {
  const flags = ['--member', '10.0.0.9']
  const settings = await load(t, sites, flags, { HANDFAST_SECRET: generateSecret() })
  t.match(settings.farm, { listen: { host: undefined, port: 7443 } })
})

t.test('a certificate that ran out is served, with a warning', async t => {
  const old = await makeCertificate({ ...localhostCertificate, days: 0 })
  const cwd = t.testdir({ 'a.crt': old.cert, 'a.key': old.key })
  const flags = ['--backend', 'http://x', '--cert', 'a.crt', '--key', 'a.key']
  const settings = await loadSettings(readProxyFlags(flags), fakeIo(cwd))
  t.match(settings.warnings, [/^a.crt ran out on /])
})

t.test('only ports, farm and processes need a restart', async t => {
  const before = await load(t, sites)
  t.equal(needsRestart(before, await load(t, sites)), false)
  t.equal(needsRestart(before, await load(t, `${sites}limits: {idleTimeout: 1s}`)), false)
  t.equal(needsRestart(before, await load(t, `${sites}listen: 1`)), true)
  t.equal(needsRestart(before, await load(t, `${sites}workers: 33`)), true)
})

const authSite = (auth: string, more = '') =>
  'sites: [{names: [Shop.example], cert: a.crt, key: a.key, ' +
  `backends: ["http://127.0.0.1:3000"], ${more} auth: {${auth}}}]\n`

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
    ['basic: {htpasswd: none}', /auth: .*htpasswd file .*none can't be read/],
    ['basic: {htpasswd: a.key}', /sites\[0\]\.auth: expected settings that hold/],
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
      /auth\.sign: expected no signature, or a farm/,
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
    message: /resumption: expected stateful, stateless or off, got "on"/,
  })
  const bad = load(
    t,
    authSite('bearer: {issuer: i, audience: a, algorithms: [ES256], key: a.key}'),
  )
  const { message } = await bad.then(fail, (error: Error) => error)
  t.notMatch(message, 'PRIVATE')
})

function fail(): never {
  throw new Error('nothing was wrong')
}

t.test('admin port and resumption by flag; a flag of a site needs no file', async t => {
  const flags = ['--admin', '9443', '--resumption', 'off']
  const cwd = t.testdir({ 'a.crt': pair.cert, 'a.key': pair.key })
  const site = ['--backend', 'http://127.0.0.1:1', '--cert', 'a.crt', '--key', 'a.key']
  const settings = await loadSettings(readProxyFlags([...site, ...flags]), fakeIo(cwd))
  t.strictSame(settings.admin, { host: undefined, port: 9443 })
  t.equal(settings.sites[0]?.resumption, 'off')
  const filed = await load(t, `${sites}admin: {listen: "127.0.0.1:1"}`)
  t.strictSame(filed.admin, { host: '127.0.0.1', port: 1 })
  t.equal(needsRestart(filed, await load(t, sites)), true)
  t.throws(() => readProxyFlags(['--config', 'x', '--resumption', 'off']), {
    message: '--resumption and --config exclude each other: put it into the file',
  })
  t.throws(() => readProxyFlags([...site, '--resumption', 'on']), {
    message: '--resumption: expected stateful, stateless, off, got "on"',
  })
})

t.test('no mistake in a file or a flag prints a password', async t => {
  const site = (backend: string) =>
    `sites:\n  - {cert: a, key: b, backends: ["${backend}"]}\n`
  const files = [
    site('http://admin:hunter2@10.0.1.2:3000'),
    site('admin:hunter2@10.0.1.2:3000'),
    site('http://admin:hun@ter2@10.0.1.2:3000/x'),
    'listen: "admin:hunter2@x"\n',
    'farm: {secret: hunter2}\n',
    'farm:\n  secret:hunter2\n',
    'farm: {members: ["http://u:hunter2@x"]}\n',
    'trustedProxies: ["u:hunter2@x"]\n',
  ]
  for (const file of files) {
    const { message } = await load(t, file).then(fail, (error: Error) => error)
    t.notMatch(message, /hunter2|ter2@/, file)
    t.match(message, /expected/)
  }
  const flags = [
    ['--backend', 'http://admin:hunter2@10.0.1.2:3000'],
    ['--backend', 'http://x', '--member', 'hunter2@x/y'],
    ['--backend', 'http://x', '--trusted-proxy', 'u:hunter2@x'],
    ['--backend', 'http://x', '--admin', 'u:hunter2@x'],
  ]
  for (const args of flags) {
    t.throws(
      () => readProxyFlags(args),
      { message: /^(?!.*hunter2).*expected/ },
      args.join(' '),
    )
  }
})
