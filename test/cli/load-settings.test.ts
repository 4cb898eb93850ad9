import t from 'tap'
import { localhostCertificate, makeCertificate } from '../../lib/cli/certs.ts'
import { loadSettings } from '../../lib/cli/config/load-settings.ts'
import { readProxyFlags } from '../../lib/cli/proxy-flags.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { needsRestart } from '../../lib/serve/settings.ts'
import { load, pair, sites } from '../fixtures/cli/config-file.ts'
import { fakeIo } from '../fixtures/cli/io.ts'

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
  t.strictSame(settings.warnings, [
    'a.crt is not for shop.example: clients will refuse it under this name',
    'a.crt is not for *.shop.example: clients will refuse it under this name',
  ])
})

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
    message: '--resumption: expected auto, stateful, sealed or off, got "on"',
  })
})

t.test('a disk is a folder beside the file, or where the flag says', async t => {
  const env = { HANDFAST_SECRET: generateSecret() }
  const file = `${sites}farm:\n  disk: { folder: d, maxBytes: 4GiB, fsync: false }\n`
  const { farm } = await load(t, file, [], env)
  t.match(farm.disk, { folder: /^\/.*\/d$/, maxBytes: 4 * 1024 ** 3, fsync: false })
  const flag = await load(t, file, ['--disk', '/srv/handfast'], env)
  t.match(flag.farm.disk, { folder: '/srv/handfast', maxBytes: 4 * 1024 ** 3 })
  t.equal((await load(t, sites, [], env)).farm.disk, undefined)
})

t.test('a disk without a secret, without a folder or too small is refused', async t => {
  const env = { HANDFAST_SECRET: generateSecret() }
  await t.rejects(load(t, sites, ['--disk', 'd']), {
    code: 'ERR_HANDFAST_CONFIG',
    message: /sealed under the farm's secret/,
  })
  const disk = (text: string) => load(t, `${sites}farm:\n  disk: ${text}\n`, [], env)
  await t.rejects(disk('{ maxBytes: 4GiB }'), { message: /farm\.disk\.folder/ })
  await t.rejects(disk('{ folder: d, maxBytes: 1MiB }'), {
    message: /farm\.disk\.maxBytes/,
  })
})

t.test(
  'takeover of hosts is refused beside what it can not be together with',
  async t => {
    const env = { HANDFAST_SECRET: generateSecret() }
    const takeover =
      'takeover: {address: 10.0.0.101, interface: eth0, fence: [/bin/false]'
    const file = (more: string, times = '') =>
      load(t, `${sites}listen: 443\nworkers: 1\n${takeover}${times}}\n${more}`, [], env)
    t.equal((await file('')).takeover?.address, '10.0.0.101')
    for (const [more, message] of [
      ['guardian: {enabled: true}\n', /takeover: .*no guardian beside it/],
      ['proxyProtocol: [10.0.0.0/8]\n', /takeover: .*no proxyProtocol beside it/],
    ] as const) {
      await t.rejects(file(more), { code: 'ERR_HANDFAST_CONFIG', message }, more)
    }
    const times = ', heartbeat: 100ms, timeout: 150ms'
    await t.rejects(file('', times), {
      message: /timeout: .*at least twice the heartbeat/,
    })
    const other = (start: string, flags: string[] = []) =>
      load(t, `${sites}${start}${takeover}}\n`, flags, env)
    await t.rejects(other('listen: 443\nworkers: 2\n'), { message: /1, for takeover/ })
    const flags = ['--proxy-protocol', '10.0.0.0/8']
    const flagged = other('listen: 443\nworkers: 1\n', flags)
    await t.rejects(flagged, { message: /no proxyProtocol beside it/ })
    const bound = other('listen: 127.0.0.1:443\nworkers: 1\n')
    await t.rejects(bound, { message: /every address of the host/ })
  },
)

t.test('an address that all members share needs one of this host alone', async t => {
  const env = { HANDFAST_SECRET: generateSecret() }
  const file = (more: string, farm = '') => {
    const takeover = `{address: 10.0.0.100, interface: eth0, fence: [/bin/false]${more}}`
    const text = `${sites}listen: 443\nworkers: 1\ntakeover: ${takeover}\n${farm}`
    return load(t, text, [], env)
  }
  const hostOf = async (more: string, farm = '') =>
    (await file(more, farm)).takeover?.host
  const listening = 'farm: {listen: "10.0.1.1:7443", members: [10.0.1.2]}\n'
  t.equal(await hostOf(', shared: true', listening), '10.0.1.1')
  t.equal(await hostOf(', shared: true, host: 10.0.2.1', listening), '10.0.2.1')
  const advertised = 'farm: {listen: 7443, advertise: 10.0.3.1, members: [10.0.1.2]}\n'
  t.equal(await hostOf(', shared: true', advertised), '10.0.3.1')
  t.equal(
    await hostOf('', listening),
    undefined,
    'nothing is added where it is not shared',
  )
  for (const [more, farm, message] of [
    [', shared: true', '', /takeover\.host: .*an IPv4 address of this host alone/],
    [
      ', shared: true, host: 10.0.0.100',
      '',
      /another address than the one that all share/,
    ],
    [', host: 10.0.1.1', listening, /takeover\.host: .*none without shared/],
  ] as const) {
    await t.rejects(file(more, farm), { code: 'ERR_HANDFAST_CONFIG', message }, more)
  }
})
