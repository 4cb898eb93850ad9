import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import t, { type Test } from 'tap'
import { adminToken } from '../../lib/admin/admin-token.ts'
import { verifyIdentityHeaders } from '../../lib/auth/identity-headers.ts'
import { localhostCertificate, makeCertificate } from '../../lib/cli/certs.ts'
import { loadSettings } from '../../lib/cli/config/load-settings.ts'
import { main } from '../../lib/cli/main.ts'
import { readProxyFlags } from '../../lib/cli/proxy-flags.ts'
import { generateSecret, parseSecret } from '../../lib/farm/secret.ts'
import { type Server, startServer } from '../../lib/serve/server.ts'
import type { ServeSettings } from '../../lib/serve/settings.ts'
import { SessionClient } from '../fixtures/auth/farm.ts'
import { basic } from '../fixtures/auth/world.ts'
import { fakeIo } from '../fixtures/cli/io.ts'
import { MemoryLog } from '../fixtures/proxy/servers.ts'

const word = 'open sesame'
const secret = generateSecret()

interface Running {
  readonly cwd: string
  readonly server: Server
  readonly log: MemoryLog
  /** `host:port` of the admin port. */
  readonly admin: string
  readonly settings: ServeSettings
  load(yaml?: string): Promise<ServeSettings>
}

const siteYaml = (backend: string) => `admin: {listen: 0}
sites:
  - cert: a.crt
    key: a.key
    backends: ['${backend}']
    auth:
      basic: {htpasswd: users}
      sign: true
      realm: staff
`

/** What `handfast proxy --config FILE` starts, in this process. */
async function start(
  t: Test,
  env: Record<string, string>,
  sign = true,
): Promise<Running> {
  const { key, cert } = await makeCertificate(localhostCertificate)
  const backend = createServer((request, response) => {
    response.end(JSON.stringify(request.headers))
  }).listen(0, '127.0.0.1')
  await once(backend, 'listening')
  t.teardown(() => {
    backend.closeAllConnections()
    backend.close()
  })
  const url = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`
  const yaml = siteYaml(url).replace('sign: true', `sign: ${sign}`)
  const cwd = t.testdir({
    'handfast.yaml': `listen: 127.0.0.1:0\n${yaml}`,
    'a.crt': cert,
    'a.key': key,
    users: `ann:${hashSync(word, 4)}\n`,
  })
  const flags = readProxyFlags(['--config', 'handfast.yaml', '--workers', '1'])
  const load = async (changed?: string) => {
    if (changed !== undefined) writeFileSync(join(cwd, 'handfast.yaml'), changed)
    return await loadSettings(flags, fakeIo(cwd, env))
  }
  const settings = await load()
  const log = new MemoryLog()
  const server = await startServer(settings, log)
  t.teardown(() => server.close())
  const { fields } = log.lines.find(({ message }) => message === 'admin listens') ?? {}
  return {
    cwd,
    server,
    log,
    settings,
    load,
    admin: `${fields?.['host']}:${fields?.['port']}`,
  }
}

async function run(cwd: string, args: string[], env: Record<string, string> = {}) {
  const io = fakeIo(cwd, env)
  const code = await main(args, io)
  return { code, out: io.stdout.text, err: io.stderr.text }
}

t.test('status tells what limits were met', async t => {
  const { cwd, server, admin } = await start(t, { HANDFAST_SECRET: secret })
  const client = new SessionClient()
  let status = 401
  for (let guesses = 0; status === 401 && guesses < 20; guesses += 1) {
    status = (await client.once(server.port, basic('ann', 'a guess'))).status ?? 0
  }
  t.equal(status, 429)
  const { out } = await run(cwd, ['status', '--admin', admin])
  t.match(out, /^limits met:\n {2}auth\.attempts {2}1$/m)
})

t.test('status tells how it stands with each tier', async t => {
  const { cwd, admin } = await start(t, { HANDFAST_SECRET: secret })
  const { out } = await run(cwd, ['status', '--admin', admin, '--json'])
  const figures = { hits: 3, misses: 1, errors: 0, open: 0, behind: 0 }
  const tiers = {
    disk: { ...figures, up: 0, full: 2 },
    redis: { ...figures, open: 1, behind: 1, current: 0, writeErrors: 4, timeouts: 5 },
    server: figures,
  }
  const other = createServer((_, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ ...JSON.parse(out), tiers }))
  }).listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as AddressInfo
  const printed = await run(cwd, ['status', '--admin', `127.0.0.1:${port}`])
  t.match(
    printed.out,
    [
      'tiers:',
      '  disk    off, not durable, 3 hits, 1 misses, 2 full',
      '  redis   passed by, behind with writes, not all is heard, 3 hits, 1 misses, ' +
        '5 timeouts, 4 writes failed',
      '  server  well, 3 hits, 1 misses',
      'table:',
    ].join('\n'),
  )
})

t.test('status, and a revocation that ends a log-in', async t => {
  const { cwd, server, admin } = await start(t, { HANDFAST_SECRET: secret })
  t.match(admin, /^127\.0\.0\.1:\d+$/)
  const client = new SessionClient()
  t.equal((await client.once(server.port)).status, 401)
  const inside = await client.once(server.port, basic('ann', word))
  t.equal(inside.status, 200)
  const again = basic('ann', word)
  t.equal((await client.once(server.port, again)).status, 200)

  const printed = await run(cwd, ['status', '--admin', admin])
  t.equal(printed.code, 0)
  t.match(printed.out, /^farm handfast: a farm of one\n/)
  t.match(
    printed.out,
    /^handshakes: 2 resumed, 1 full, 0 failed\n(?: {2}.*\n)* {2}full:none-offered/m,
  )
  t.notMatch(printed.out, 'limits met')
  t.match(printed.out, /^table:\n {2}records/m)
  const json = await run(cwd, ['status', '--admin', admin, '--json'])
  t.match(JSON.parse(json.out), { farm: 'handfast', handshakes: { full: 1 } })

  const ann = ['revoke', '--user', 'ann', '--admin', admin]
  const stranger = await run(cwd, ann, { HANDFAST_SECRET: generateSecret() })
  t.equal(stranger.code, 1)
  t.match(stranger.err, /^handfast revoke: refused: a bearer token made from/)
  const otherFarm = [...ann, '--farm-name', 'other']
  t.equal((await run(cwd, otherFarm, { HANDFAST_SECRET: secret })).code, 1)
  t.equal((await client.once(server.port, again)).status, 200)

  writeFileSync(join(cwd, 'farm.secret'), secret, { mode: 0o600 })
  const told = await run(cwd, [
    ...ann,
    '--secret-file',
    'farm.secret',
    '--reason',
    'left',
  ])
  t.strictSame(told, {
    code: 0,
    out: 'revoked: all members have it\n',
    err: '',
  })
  t.equal((await client.once(server.port)).status, 401)
  const ended = await run(cwd, ['status', '--admin', admin])
  t.match(ended.out, /full:revoked +1/, 'her session does not come back')

  for (const what of [
    ['--all', '--keep-open'],
    ['--lineage', 'ab'.repeat(32)],
    ['--session', 'ab'.repeat(32)],
    ['--certificate', 'a.crt'],
    ['--server-name', 'localhost'],
  ]) {
    const args = ['revoke', ...what, '--admin', admin]
    t.equal((await run(cwd, args, { HANDFAST_SECRET: secret })).code, 0, what.join(' '))
  }
  const env = { HANDFAST_SECRET: secret }
  const listed = await run(cwd, ['revoke', '--list', '--admin', admin], env)
  t.equal(listed.code, 0)
  const lines = listed.out.trimEnd().split('\n')
  t.equal(lines.length, 6)
  const time = '\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z'
  t.match(lines.at(-1), new RegExp(`^${time}  user ann  until ${time}  left$`))
  t.match(lines[0], new RegExp(`^${time}  serverName localhost  until ${time}$`))
  t.match(listed.out, /Z {2}all {2}until/)
  t.notMatch(listed.out, /abab/, 'no id')
  const all = await run(cwd, ['revoke', '--list', '--json', '--admin', admin], env)
  t.match(JSON.parse(all.out), [{ kind: 'serverName', name: 'localhost', reason: '' }])
  const blind = await run(cwd, ['revoke', '--list', '--admin', admin], {
    HANDFAST_SECRET: generateSecret(),
  })
  t.equal(blind.code, 1)
  t.notMatch(blind.out, /ann/)
  const forged = ['revoke', '--user', 'x\n\u001b[2J', '--admin', admin]
  t.equal((await run(cwd, forged, env)).code, 0)
  const shown = await run(cwd, ['revoke', '--list', '--admin', admin], env)
  t.match(shown.out, /user x\\u\{a\}\\u\{1b\}\[2J {2}until/)
  const noisy = [...ann, '--reason', 'two\nlines']
  t.match(await run(cwd, noisy, env), { code: 1, err: /refused: the reason must be one/ })
  for (const more of [['--all'], ['--user', 'ann'], ['--reason', 'x'], ['--keep-open']]) {
    const { code } = await run(cwd, ['revoke', '--list', ...more], env)
    t.equal(code, 2, `--list ${more.join(' ')}`)
  }
  t.equal((await run(cwd, [...ann, '--json'], env)).code, 2)

  const after = await client.once(server.port, basic('ann', word))
  t.equal(after.status, 200, 'who proves it again gets in again')
})

t.test('what the backend is told is signed with the key of the realm', async t => {
  const { cwd, server } = await start(t, { HANDFAST_SECRET: secret })
  const { text } = await new SessionClient().once(server.port, basic('ann', word))
  const keyOf = async (realm: string) => {
    const args = ['secret', '--signing-key', realm]
    return (await run(cwd, args, { HANDFAST_SECRET: secret })).out.trim()
  }
  const headers = JSON.parse(text)
  const sign = await keyOf('staff')
  t.match(verifyIdentityHeaders(headers, { sign }), { subject: 'ann', method: 'basic' })
  const other = await keyOf('shop')
  t.equal(verifyIdentityHeaders(headers, { sign: other }), undefined)
  t.not(sign, adminToken(parseSecret(secret), 'handfast'))
})

t.test('a reload keeps the log-ins, changes who gets in, or changes nothing', async t => {
  const { server, load, settings } = await start(t, { HANDFAST_SECRET: secret })
  const client = new SessionClient()
  const open = client.open(server.port)
  t.teardown(() => open.close())
  t.equal((await open.ask(basic('ann', word))).status, 200)
  server.reload(await load())
  t.equal((await open.ask(basic('ann', word))).status, 200, 'still known')

  const [site] = settings.sites
  const bad = {
    ...site,
    auth: { ...site?.auth, ttl: -1 },
  } as ServeSettings['sites'][number]
  t.throws(() => server.reload({ ...settings, sites: [bad] }), { message: /auth: ttl/ })
  const unservable = { ...site, cert: 'no PEM' } as ServeSettings['sites'][number]
  t.throws(() => server.reload({ ...settings, sites: [unservable] }))
  t.equal((await open.ask(basic('ann', word))).status, 200, 'the old one is whole')

  const other = { ...site, auth: { ...site?.auth, realm: 'other' } }
  server.reload({ ...settings, sites: [other as ServeSettings['sites'][number]] })
  t.equal((await open.ask()).status, 401, 'another realm has users of its own')
  t.equal((await open.ask(basic('ann', word))).status, 200)
  server.reload({ ...settings, sites: [{ ...site, auth: undefined } as never] })
  t.equal((await new SessionClient().once(server.port)).status, 200, 'open to all')
})

t.test('without a farm secret nothing can be changed', async t => {
  const { cwd, admin } = await start(t, {}, false)
  t.equal((await run(cwd, ['status', '--admin', admin])).code, 0)
  const args = ['revoke', '--all', '--admin', admin]
  const { code, err } = await run(cwd, args, { HANDFAST_SECRET: secret })
  t.equal(code, 1)
  t.match(err, /refused/)
})

t.test('status and revoke say what is wrong', async t => {
  const cwd = t.testdir({ 'no.pem': 'x' })
  const env = { HANDFAST_SECRET: secret }
  const cases: [string[], number, RegExp][] = [
    [['status', '--admin', 'x'], 2, /--admin: expected \[HOST:\]PORT, got "x"\n$/],
    [
      ['status', '--admin', '1'],
      3,
      /can't reach the admin port at 127.0.0.1:1: ECONNREF/,
    ],
    [['revoke'], 2, /name exactly one of --user, --lineage/],
    [['revoke', '--all', '--user', 'ann'], 2, /name exactly one of/],
    [['revoke', '--user='], 2, /--user: expected a name/],
    [['revoke', '--session', 'xyz'], 2, /--session: expected 32 bytes in hex/],
    [['revoke', '--certificate', 'no.pem'], 2, /no.pem is not a readable certificate/],
    [['revoke', '--all', '--admin', '1'], 3, /can't reach the admin port/],
    [['secret', '--farm-name', 'x'], 2, /go with --signing-key/],
  ]
  for (const [args, expected, message] of cases) {
    const { code, out, err } = await run(cwd, args, env)
    t.equal(code, expected, args.join(' '))
    t.equal(out, '')
    t.match(err, message)
    t.equal(err.split('\n').length, 2, 'one line')
  }
  const { code, err } = await run(cwd, ['revoke', '--all'])
  t.equal(code, 2)
  t.match(err, /needs the farm secret: --secret-file FILE or HANDFAST_SECRET/)
})
