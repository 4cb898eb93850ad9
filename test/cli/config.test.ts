import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { parse } from 'yaml'
import { commands } from '../../lib/cli/commands.ts'
import { parseConfig } from '../../lib/cli/config/yaml-file.ts'
import { main } from '../../lib/cli/main.ts'
import { configJsonSchema, describeConfig } from '../../lib/cli/schema/schema.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { pair } from '../fixtures/cli/config-file.ts'
import { fakeIo } from '../fixtures/cli/io.ts'
import { rootUrl } from '../fixtures/root.ts'

const run = promisify(execFile)

async function handfast(cwd: string, args: string[], env: Record<string, string> = {}) {
  const io = fakeIo(cwd, env)
  const code = await main(args, io)
  return { code, out: io.stdout.text, err: io.stderr.text }
}

const site = 'sites: [{cert: a.crt, key: a.key, backends: ["http://10.0.0.1:3000"]}]\n'

t.test('the JSON Schema takes and refuses what the reader of the file does', async t => {
  const validate = new Ajv2020({ strict: false }).compile(configJsonSchema())
  const more = (text: string) => site + text
  const of = (text: string) => site.replace('cert', `${text}, cert`)
  for (const yaml of [
    site,
    more('listen: 443'),
    more('listen: 127.0.0.1:443'),
    more('listen: "[::1]:443"'),
    more('farm: {name: a.b, members: [a, "10.0.0.1:7000", "::1"], memory: 1GiB}'),
    more(`farm: {secret: ${generateSecret()}}`),
    more('farm: {sessionTimeout: 1.5h, lookupBudget: 20, transport: auto}'),
    more('admin: {listen: 9443, names: [a.test]}'),
    more('limits: {idleTimeout: 90s, maxBodyBytes: 0, clientShare: 100}'),
    more('tls: {minVersion: TLSv1.3}\nworkers: 2\nlogLevel: warn'),
    more('trustedProxies: [10.0.0.0/8, "::1"]'),
    of('names: [Shop.example, "*.shop.example"]'),
    of('clientCertificate: off, resumption: stateless'),
    of('auth: {basic: {htpasswd: users}, ttl: 1h}'),
    of(
      'auth: {bearer: {issuer: a, audience: b, algorithms: [RS256], jwks: "https://a/k"}}',
    ),
    of('routes: [{path: /api, methods: [GET], auth: none, headers: {x-a: "*"}}]'),
    site.replace('"http://10.0.0.1:3000"', '{url: "http://a", weight: 2, backup: true}'),
    // Both refuse from here on.
    '',
    'sites: []',
    'sites: {}',
    more('listn: 443'),
    more('listen: 99999'),
    more('listen: [443]'),
    more('listen: "443:"'),
    more('limits: {idleTimeout: 90 seconds}'),
    more('limits: {idleTimeout: -1}'),
    more('limits: {maxBodyBytes: 1MB}'),
    more('limits: {clientShare: 101}'),
    more('limits: 5'),
    more('farm: {transport: pigeon}'),
    more('farm: {name: a b}'),
    more('farm: {members: a}'),
    more('farm: {secret: short}'),
    more('admin: {}'),
    more('workers: 0'),
    more('logLevel: loud'),
    more('tls: {minVersion: TLSv1.1}'),
    more('trustedProxies: [lan]'),
    of('names: ["a b"]'),
    of('auth: {basic: {}}'),
    of('auth: {certificate: x}'),
    of('routes: [{path: 5}]'),
    site.replace('http:', 'ftp:'),
    site.replace('["http://10.0.0.1:3000"]', '[]'),
    site.replace('cert: a.crt,', ''),
  ]) {
    const taken = (() => {
      try {
        parseConfig(yaml, 'x.yaml')
        return true
      } catch {
        return false
      }
    })()
    t.equal(validate(parse(yaml) ?? {}), taken, yaml)
  }
})

t.test('the schema is printed, is in the package, and tells of each option', async t => {
  const { out, code } = await handfast(t.testdir({}), ['config', 'schema'])
  t.equal(code, 0)
  t.same(JSON.parse(out), configJsonSchema())
  const file = new URL('dist/handfast.schema.json', rootUrl)
  t.equal(readFileSync(file, 'utf8'), out, 'npm run build wrote it')
  const about = out.match(/"description": "./g) ?? []
  t.ok(about.length >= describeConfig().length)
  for (const { path, about } of describeConfig()) t.not(about, '', path)
})

t.test('config show tells what holds, who says so, and no secret', async t => {
  const secret = generateSecret()
  const yaml = `listen: 8000
sites:
  - names: [shop.test]
    cert: a.crt
    key: a.key
    backends: ['http://10.0.0.1:3000', {url: 'http://10.0.0.2', weight: 2}]
    auth: {forward: {url: 'http://10.0.0.3/check?code=hidden-1'}}
    requestHeaders:
      set: {X-Shop: one, X-Api-Key: hidden-2, X-Login: Basic hidden-3, X-Id: ${secret}}
farm:
  secret: ${secret}
  members: [10.0.0.2]
`
  const cwd = t.testdir({ 'a.crt': pair.cert, 'a.key': pair.key, 'h.yaml': yaml })
  const show = ['config', 'show', '--config', 'h.yaml']
  const { out, code, err } = await handfast(cwd, [...show, '--workers', '3'])
  t.equal(code, 0, err)
  for (const line of [
    /^listen = 8000 +# h\.yaml:1$/m,
    /^sites\[0\]\.names = shop\.test +# h\.yaml:3$/m,
    /^sites\[0\]\.backends = http:\/\/10\.0\.0\.1:3000 +# h\.yaml:6$/m,
    /^sites\[0\]\.backends\[1\]\.weight = 2 +# h\.yaml:6$/m,
    /^sites\[0\]\.resumption = auto +# default$/m,
    /^farm\.secret = \(hidden\) +# h\.yaml:11$/m,
    /^sites\[0\]\.auth\.forward\.url = http:\/\/10\.0\.0\.3\/check\?\(hidden\) +# h\.yaml:7$/m,
    /^sites\[0\]\.requestHeaders\.set = \{"X-Shop":"one","X-Api-Key":"\(hidden\)",/m,
    /^farm\.sessionTimeout = 1h +# default$/m,
    /^limits\.idleTimeout = 1m +# default$/m,
    /^workers = 3 +# --workers$/m,
  ]) {
    t.match(out, line)
  }
  t.notMatch(out, secret)
  t.notMatch(out, /hidden-/)
  const json = await handfast(cwd, [...show, '--json'])
  const listen = { path: 'listen', value: '8000', source: 'h.yaml:1' }
  t.match(JSON.parse(json.out)[0], listen)
  t.notMatch(json.out, secret)

  const flags = ['--backend', 'http://a:1', '--cert', 'a.crt', '--key', 'a.key']
  const byFlags = await handfast(cwd, ['config', 'show', ...flags], {
    HANDFAST_SECRET: secret,
  })
  t.match(byFlags.out, /^sites\[0\]\.backends = http:\/\/a:1 +# --backend$/m)
  t.match(byFlags.out, /^farm\.secret = \(hidden\) +# HANDFAST_SECRET$/m)
  t.notMatch(byFlags.out, secret)
  for (const args of [
    ['config'],
    ['config', 'sho'],
    ['config', 'schema', 'x'],
    show.slice(0, 2),
  ]) {
    t.equal((await handfast(cwd, args)).code, 2, args.join(' '))
  }
})

t.test('bash completes commands, flags, their values and files', async t => {
  const { out } = await handfast(t.testdir({}), ['completion', 'bash'])
  const cwd = t.testdir({ script: out, 'site.crt': '', sites: {} })
  const complete = async (...line: string[]) => {
    const words = line.map(word => `'${word}'`).join(' ')
    const script = `source ./script; COMP_WORDS=(${words}); COMP_CWORD=${line.length - 1}
      compopt() { :; }; _handfast; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout } = await run('bash', ['-c', script], { cwd })
    return stdout.trim().split('\n')
  }
  t.same(await complete('handfast', 'pro'), ['proxy'])
  t.same(await complete('handfast', 'config', 's'), ['show', 'schema'])
  t.same(await complete('handfast', 'proxy', '--log-l'), ['--log-level'])
  t.same(await complete('handfast', 'proxy', '--log-level', 'd'), ['debug'])
  t.same((await complete('handfast', 'proxy', '--cert', 's')).sort(), [
    ...['script', 'site.crt', 'sites'],
  ])
  t.same(await complete('handfast', 'certs', '--out', 's'), ['sites'])
  t.same(await complete('handfast', 'proxy', '--listen', ''), [''])
  const all = await complete('handfast', '')
  for (const [name, { summary }] of Object.entries(commands)) {
    t.equal(all.includes(name), summary !== '', name)
  }
})

t.test('zsh and fish get each flag with what it is for', async t => {
  const cwd = t.testdir({})
  for (const shell of ['zsh', 'fish']) {
    const { out, code } = await handfast(cwd, ['completion', shell])
    t.equal(code, 0)
    for (const [name, { load, summary }] of Object.entries(commands)) {
      if (summary === '') continue
      t.match(out, name)
      for (const flag of Object.keys((await load()).flags))
        t.match(out, flag, `${shell} ${flag}`)
    }
    const file = t.testdir({ script: out })
    const check = run(shell, ['-n', `${file}/script`])
    await check.catch(error => t.equal(error.code, 'ENOENT', `${shell}: ${error.stderr}`))
  }
  t.equal((await handfast(cwd, ['completion', 'csh'])).code, 2)
})
