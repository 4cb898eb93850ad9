import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Certificate, makeCertificate } from '../../lib/cli/certs.ts'
import { main } from '../../lib/cli/main.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { fakeIo } from '../fixtures/cli/io.ts'
import { leafAlone } from '../fixtures/tls/leaf-alone.ts'

const names = ['shop.test', '*.shop.test']
const shop = await makeCertificate({ names, keyType: 'p256', days: 30 })
const other = await makeCertificate({ names: ['other.test'], keyType: 'p256', days: 30 })
const old = await makeCertificate({ names, keyType: 'p256', days: 0 })
const ending = await makeCertificate({ names, keyType: 'p256', days: 2 })

function files(): Record<string, string | object> {
  const pair = (name: string, { cert, key }: Certificate) => ({
    [`${name}.crt`]: cert,
    [`${name}.key`]: key,
  })
  return {
    ...pair('a', shop),
    ...pair('other', other),
    ...pair('old', old),
    ...pair('ending', ending),
    ...pair('alone', leafAlone),
    'late.crt': `${other.cert}\n${shop.cert}`,
    'mixed.crt': `${shop.cert}\n${other.cert}`,
    'locked.key': shop.key.replaceAll('PRIVATE', 'ENCRYPTED PRIVATE'),
    'short.secret': 'c2hvcnQ',
    secret: generateSecret(),
    folder: {},
    users: 'ann:$2y$04$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu\n',
  }
}

async function check(t: Test, yaml: string, flags: readonly string[] = []) {
  const cwd = t.testdir({ ...files(), 'handfast.yaml': yaml })
  for (const name of ['a', 'other', 'old', 'ending', 'alone'])
    chmodSync(join(cwd, `${name}.key`), 0o600)
  chmodSync(join(cwd, 'secret'), 0o600)
  const io = fakeIo(cwd)
  const code = await main(['proxy', '--check', '--config', 'handfast.yaml', ...flags], io)
  return { code, out: io.stdout.text, err: io.stderr.text, cwd }
}

const site = `sites:
  - names: [shop.test]
    cert: a.crt
    key: a.key
    backends: [http://127.0.0.1:3000]
`
const change = (from: string, to: string) => site.replace(from, to)

t.test('what an operator gets wrong is told with its line and what to do', async t => {
  for (const [yaml, expected] of [
    // The form of the file.
    [
      change('[shop.test]', '[shop.test, *.shop.test]'),
      ':2: a value that begins with * must stand in quotes',
    ],
    [
      change('[shop.test]', '*.shop.test'),
      ':2: a value that begins with * must stand in quotes',
    ],
    [
      change('[shop.test]', '\n    - *.shop.test'),
      ":3: a value that begins with * must stand in quotes: '*.shop.example'",
    ],
    [change('    key', '\tkey'), ':4: a tab: YAML is indented with spaces'],
    [
      change('    key: a.key', '    cert: a.crt\n    key: a.key'),
      ':4: cert stands here twice',
    ],
    [`listen: 443:\n${site}`, ':1: two colons in one line'],
    [`listen:443\n${site}`, ':1: a space is needed behind the colon of a key'],
    [change('a.crt', '@a.crt'), ':3: a value that begins with @ must stand in quotes'],
    [`${site}---\n${site}`, ':6: a second document begins here (---)'],
    [
      change('[shop.test]', '[shop.test'),
      'not valid YAML (bad indent, or a [ or { that nothing closes)',
    ],
    [change('a.crt', '"a.crt'), 'a quote, or a bracket, that nothing closes'],
    [change('cert: a.crt', 'cert a.crt'), ':3: a line without a colon'],
    [change('key: a.key\n', 'key a.key\n'), ':4: a line without a colon'],
    [`listen: 443: # why\n redirect: 80\n${site}`, ':1: two colons in one line'],
    [`redirect: a: b\n listen: 80\n${site}`, ':1: two colons in one line'],
    // Indentation.
    ...(
      [
        [change('    key', '   key'), 4],
        [change('    key', '     key'), 4],
        [change('    key', '  key'), 4],
        [`listen: 443\n redirect: 80\n${site}`, 2],
        [`listen: 443 # for clients\n\n redirect: 80\n${site}`, 3],
        [` listen: 443\nredirect: 80\n${site}`, 2],
        [`tls: { minVersion: TLSv1.3 }\n  redirect: 80\n${site}`, 2],
        [
          change('[http', '\n      - url: http').replace(
            '3000]',
            '3000\n         weight: 2',
          ),
          7,
        ],
        [
          change('[http', '\n      - url: http').replace(
            '3000]',
            '3000\n       weight: 2',
          ),
          7,
        ],
        [`${site} - names: [b.shop.test]\n`, 6],
        [`${site}   - names: [b.shop.test]\n`, 6],
        [`${site}limits:\n   idleTimeout: 5s\n  bodyTimeout: 5s\n`, 8],
      ] as const
    ).map(
      ([yaml, line]) =>
        [
          yaml,
          `:${line}: this line is indented more or less than its neighbours`,
        ] as const,
    ),
    // Keys.
    [
      change('backends', 'backend'),
      ':5: sites[0].backend: unknown key, did you mean backends?',
    ],
    [
      change('cert:', 'certificate:'),
      'sites[0].certificate: unknown key, did you mean cert?',
    ],
    [`site:\n${site}`, ':1: site: unknown key, did you mean sites?'],
    [`${site}secretFile: secret\n`, ':6: secretFile: unknown key, it stands in farm'],
    [`${site}idleTimeout: 5s\n`, ':6: idleTimeout: unknown key, it stands in limits'],
    [`${site}Listen: 443\n`, ':6: Listen: unknown key, did you mean listen?'],
    [
      `${site}trusted_proxies: [10.0.0.1]\n`,
      'trusted_proxies: unknown key, did you mean trustedProxies?',
    ],
    ['sites:\n  names: [shop.test]\n', ':2: sites: expected a list, got a mapping'],
    // Values.
    [`${site}listen: 443/tcp\n`, ':6: listen: expected [HOST:]PORT, got "443/tcp"'],
    [`${site}listen: '443:'\n`, ':6: listen: expected [HOST:]PORT, got "443:"'],
    [
      `${site}listen: 70000\n`,
      ':6: listen: expected [HOST:]PORT (a port is at most 65535), got 70000',
    ],
    [
      change('http://127.0.0.1:3000', '127.0.0.1:3000'),
      'sites[0].backends[0]: expected http://HOST[:PORT] or https',
    ],
    [
      change('http://127.0.0.1:3000', 'http://127.0.0.1:3000/app'),
      'sites[0].backends[0]: expected http://HOST[:PORT] or https://HOST[:PORT] (a path goes into addPath of the site or route',
    ],
    [
      change('[http://127.0.0.1:3000]', 'http://127.0.0.1:3000'),
      ':5: sites[0].backends: expected a list, got',
    ],
    [
      change('shop.test', 'https://shop.test'),
      'sites[0].names[0]: expected a host name, or *. and',
    ],
    [
      change('shop.test', 'shop.test:443'),
      'sites[0].names[0]: expected a host name, or *. and',
    ],
    [
      `${site}farm: {members: ['https://10.0.0.2:7443'], secretFile: secret}\n`,
      'farm.members[0]: expected HOST[:PORT], got "https',
    ],
    [
      `${site}limits: {idleTimeout: 90sec}\n`,
      'limits.idleTimeout: expected milliseconds or a time such as',
    ],
    [
      `${site}limits: {maxBodyBytes: 10m}\n`,
      'limits.maxBodyBytes: expected bytes or a size such as',
    ],
    [
      change('    key', '    auth: {certificate: cn, required: yes}\n    key'),
      'auth.required: expected true or false, got "yes"',
    ],
    [
      `${site}logLevel: off\n`,
      'logLevel: expected debug, info, warn, error or silent, got "off"',
    ],
    // Files.
    [
      change('a.crt', 'none.crt'),
      ':3: sites[0].cert: expected a readable file (ENOENT), got "none.crt"',
    ],
    [
      change('a.crt', 'folder'),
      ':3: sites[0].cert: expected a readable file (it is a folder), got "folder"',
    ],
    [change('a.crt', 'users'), 'sites[0].cert: expected a file in PEM form'],
    [
      change('a.crt', 'a.key').replace('key: a.key', 'key: a.crt'),
      'sites[0].cert: expected a certificate, and this is a key: cert and key are swapped',
    ],
    [
      change('a.crt', 'a.key'),
      'sites[0].cert: expected a certificate, and this is a private key',
    ],
    [
      change('a.key', 'a.crt'),
      'sites[0].key: expected a private key, and this is a certificate',
    ],
    [
      change('a.key', 'other.key'),
      ':4: sites[0].key: expected a file with the private key that belongs',
    ],
    [
      change('a.key', 'locked.key'),
      'sites[0].key: expected a private key that is not encrypted (openssl pkey',
    ],
    [
      change('a.crt', 'late.crt'),
      'leaf first (the certificate of this key is number 2 in the file)',
    ],
    [
      `${site}farm: {members: [a], secretFile: short.secret}\n`,
      'farm.secretFile: expected a file with 32 bytes',
    ],
    [
      `${site}farm: {members: [a], secretFile: folder}\n`,
      'farm.secretFile: expected a readable file (it is a folder)',
    ],
    [
      `${site}farm: {members: [a]}\n`,
      ':6: farm.secretFile: expected a file, or HANDFAST_SECRET, because joining a farm needs its ' +
        'secret (handfast secret prints a new one), got nothing',
    ],
    [
      `${site}farm: {repositories: ['redis://127.0.0.1']}\n`,
      ':6: farm.secretFile: expected a file, or HANDFAST_SECRET, because what is in Redis is sealed',
    ],
    [
      `${site}farm: {disk: {folder: d}}\n`,
      ':6: farm.secretFile: expected a file, or HANDFAST_SECRET, because what is on a disk is sealed',
    ],
    // What contradicts itself.
    [
      `${site}listen: 9443\nadmin: {listen: 9443}\n`,
      ':7: admin.listen: expected another port than that for clients, got 9443',
    ],
    [
      `${site}listen: 0.0.0.0:9443\nadmin: {listen: '10.0.0.1:9443'}\n`,
      'admin.listen: expected another port',
    ],
    [
      `${site}listen: 127.0.0.1:9443\nadmin: {listen: 'localhost:9443'}\n`,
      'admin.listen: expected another port',
    ],
    [
      `${site}listen: 7443\nfarm: {members: [a], secretFile: secret}\n`,
      'farm.listen: expected another port than that for clients',
    ],
    [
      `${site}farm: {listen: 9443, secretFile: secret}\nadmin: {listen: 9443}\n`,
      'farm.listen: expected another port than that of admin',
    ],
    [
      change(
        '    key',
        '    clientCa: a.crt\n    clientCertificate: off\n    auth: {certificate: cn}\n    key',
      ),
      ':5: sites[0].clientCertificate: expected optional or required, because auth.certificate is given, got "off"',
    ],
    [
      change('    key', '    auth: {certificate: cn}\n    key'),
      'sites[0].clientCa: expected a file, because auth.certificate is given',
    ],
    [
      site + site.replace('sites:\n', ''),
      ':6: sites[1].names[0]: expected another name than those of sites[0]',
    ],
    [
      site
        .replace('    names: [shop.test]\n', '')
        .replace('  - names: [shop.test]\n    cert', '  - cert') +
        site
          .replace('sites:\n', '')
          .replace('  - names: [shop.test]\n    cert', '  - cert'),
      'sites[1].names: expected names, because sites[0] serves all others',
    ],
  ] as const) {
    const { code, err, out } = await check(t, yaml)
    t.equal(code, 2, `${expected}\n${err}`)
    t.match(err, expected, yaml)
    t.equal(err.split('\n').length, 2, 'one line')
    t.equal(out, '')
  }
})

t.test('what is only hardly meant is a warning', async t => {
  for (const [yaml, expected] of [
    [
      change('[shop.test]', "[shop.test, 'b.shop.test', '*.shop.test', shop.example]"),
      'a.crt is not for shop.example: clients',
    ],
    [change('[shop.test]', "['*.a.shop.test']"), 'a.crt is not for *.a.shop.test'],
    [change('a.crt', 'old.crt').replace('a.key', 'old.key'), 'old.crt ran out on'],
    [
      change('a.crt', 'ending.crt').replace('a.key', 'ending.key'),
      'ending.crt runs out in 1 d 23 h',
    ],
    [
      change('a.crt', 'mixed.crt'),
      'mixed.crt: certificate 2 in it has not signed the one before it',
    ],
    [
      change('a.crt', 'alone.crt').replace('a.key', 'alone.key'),
      'alone.crt is the leaf alone, without that of who signed it ' +
        '(O=Example Trust, CN=Example Intermediate): clients',
    ],
    [`${site}listen: 3000\n`, 'backend http://127.0.0.1:3000 is this proxy itself'],
    [
      `${site}listen: 443\nfarm: {members: ['10.0.0.2:443'], secretFile: secret}\n`,
      'farm.members: 10.0.0.2:443 has the port for clients; members are reached at their farm port (7443)',
    ],
  ] as const) {
    const { code, err, out } = await check(t, yaml)
    t.equal(code, 0, err)
    t.match(err, `handfast proxy: warning: ${expected.slice(0, 12)}`)
    t.match(err, expected)
    t.equal(err.split('\n').length, 2, `one warning: ${err}`)
    t.equal(out, 'handfast.yaml: ok, 1 site\n')
  }
})

t.test('what a start would refuse a check refuses, too', async t => {
  const twoPaths = `    routes:
      - {path: /a, backends: [http://127.0.0.1:3001]}
      - {path: /A, backends: [http://127.0.0.1:3001]}
`
  for (const [more, expected] of [
    ['    hedging: {}\n', 'hedging needs a delay or a percentile'],
    [
      '    hedging: {delay: 20}\n    affinity: cookie\n',
      'hedging has no place beside affinity: say hedging: off, or affinity: none',
    ],
    [
      '    affinity: {by: host}\n',
      'affinity.hosts must be *. and a host name with by: host, got nothing',
    ],
    [
      '    affinity: {by: host, hosts: "*.farm.test"}\n',
      'shop.test: affinity.hosts must be among the names of the site, got "*.farm.test"',
    ],
    [
      '    affinity: {by: path, cookie: __Host-a}\n',
      'affinity.cookie has no use with by: path',
    ],
    ['    affinity: {by: cookie, prefix: /b-}\n', 'affinity.prefix needs by: path'],
    [twoPaths, 'shop.test: routes /a and /A differ in upper and lower case alone'],
  ] as const) {
    const { code, err, out } = await check(t, site + more)
    t.strictSame([code, err, out], [2, `handfast proxy: ${expected}\n`, ''], more)
  }
})

t.test('a key or a secret that others can read is a warning', async t => {
  const { cwd } = await check(t, `${site}farm: {listen: 0, secretFile: secret}\n`)
  chmodSync(join(cwd, 'a.key'), 0o644)
  writeFileSync(join(cwd, 'secret'), generateSecret(), { mode: 0o644 })
  chmodSync(join(cwd, 'secret'), 0o644)
  const io = fakeIo(cwd)
  t.equal(await main(['proxy', '--check', '--config', 'handfast.yaml'], io), 0)
  t.match(io.stderr.text, 'a.key can be read by others: chmod 600 it')
  t.match(io.stderr.text, /secret can be read by others: chmod 600 it/)
})

t.test('a flag is blamed where a flag says it', async t => {
  const { err, code } = await check(t, `${site}listen: 9443\n`, ['--admin', '9443'])
  t.equal(code, 2)
  t.equal(err, 'handfast proxy: --admin: expected another port than that for clients\n')
  const sound = await check(t, site, ['--listen', '8443', '--admin', '9443'])
  t.strictSame([sound.code, sound.err, sound.out], [0, '', 'handfast.yaml: ok, 1 site\n'])
})
