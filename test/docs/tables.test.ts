import { readFileSync } from 'node:fs'
import t from 'tap'
import type { LoginOutcome } from '../../lib/auth/auth-counters.ts'
import type { AttemptLimits } from '../../lib/auth/login/attempts.ts'
import type { BearerOptions } from '../../lib/auth/method/bearer.ts'
import type { ForwardAuthOptions } from '../../lib/auth/method/forward-auth.ts'
import type { AuthOptions, FormOptions } from '../../lib/auth/options.ts'
import { proxyCommand } from '../../lib/cli/commands/proxy.ts'
import { readProxyFlags } from '../../lib/cli/config/proxy-flags.ts'
import { parseConfig } from '../../lib/cli/config/yaml-file.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import type { AttachOptions } from '../../lib/member/farm.ts'
import { type FarmOptions, farmNumbers, farmWords } from '../../lib/member/options.ts'
import { limitRules } from '../../lib/proxy/limits.ts'
import type { NotTls, UnstoredCause } from '../../lib/resumption/counters.ts'
import type { FullCause, ResumedFrom } from '../../lib/resumption/handshake.ts'

const root = new URL('../..', import.meta.url)
const configuration = readFileSync(new URL('docs/configuration.md', root), 'utf8')
const metrics = readFileSync(new URL('docs/metrics.md', root), 'utf8')

type Names<T> = Record<T extends string ? T : never, true>
type Keys<T> = Names<keyof T>

const farmOptions = {
  ...farmNumbers,
  ...farmWords,
  name: true,
  secret: true,
  members: true,
  listen: true,
  advertise: true,
  memberId: true,
  host: true,
  log: true,
  clock: true,
} satisfies { [name in keyof FarmOptions]-?: unknown }
const attachOptions: Keys<AttachOptions> = {
  resumption: true,
  policyOf: true,
  policyIsWhole: true,
  proxyProtocol: true,
}
const authOptions: Keys<AuthOptions> = {
  realm: true,
  required: true,
  ttl: true,
  basic: true,
  bearer: true,
  certificate: true,
  forward: true,
  form: true,
  logoutPath: true,
  attempts: true,
  trustedOrigins: true,
  maxChecks: true,
  clientShare: true,
  address: true,
  rememberBy: true,
  shared: true,
  lookupBudget: true,
  writeBudget: true,
}
const bearerOptions: Keys<BearerOptions> = {
  jwks: true,
  key: true,
  secret: true,
  issuer: true,
  audience: true,
  algorithms: true,
  clockTolerance: true,
  subject: true,
  claims: true,
}
const forwardOptions: Keys<ForwardAuthOptions> = {
  url: true,
  subjectHeader: true,
  claimHeaders: true,
  requestHeaders: true,
  timeout: true,
  ca: true,
  remember: true,
  ttl: true,
}
/** `verify` is told of in the sentence before the table. */
const formOptions: Keys<Omit<FormOptions & { verify: unknown }, 'verify'>> = {
  htpasswd: true,
  path: true,
  logoutPath: true,
  page: true,
  cookie: true,
}
const attemptLimits: Keys<AttemptLimits> = {
  perUser: true,
  perAddress: true,
  window: true,
}

const causes: Names<FullCause | ResumedFrom | NotTls> = {
  'none-offered': true,
  unknown: true,
  expired: true,
  'lineage-expired': true,
  revoked: true,
  policy: true,
  timeout: true,
  corrupt: true,
  partition: true,
  off: true,
  declined: true,
  local: true,
  peer: true,
  ticket: true,
  probe: true,
  'plain-http': true,
}
const unstored: Names<UnstoredCause> = {
  'address-limit': true,
  failed: true,
}
const outcomes: Names<LoginOutcome> = {
  proved: true,
  refused: true,
  limited: true,
  unavailable: true,
  void: true,
}

/** Mappings of the config file, each with what it can't do without. */
const auth = (more: object) => site({ auth: more })
const mappings: Record<string, (unknown: object) => object> = {
  '': unknown => ({ ...site({}), ...unknown }),
  'sites[]': site,
  'sites[].auth': auth,
  'sites[].auth.basic': unknown => auth({ basic: { htpasswd: 'a', ...unknown } }),
  'sites[].auth.bearer': unknown =>
    auth({ bearer: { issuer: 'a', audience: 'b', algorithms: ['c'], ...unknown } }),
  'sites[].auth.forward': unknown => auth({ forward: { url: 'http://a', ...unknown } }),
  'sites[].auth.form': unknown => auth({ form: { htpasswd: 'a', ...unknown } }),
  'sites[].auth.attempts': unknown => auth({ attempts: unknown }),
  'sites[].resumeResponses': unknown => site({ resumeResponses: unknown }),
  farm: unknown => ({ ...site({}), farm: unknown }),
  admin: unknown => ({ ...site({}), admin: { listen: 1, ...unknown } }),
  limits: unknown => ({ ...site({}), limits: unknown }),
  tls: unknown => ({ ...site({}), tls: unknown }),
}

t.test('the table of options has each key of the config file once, no other', async t => {
  const known = Object.keys(mappings).flatMap(keysOf)
  const leaves = known.filter(path => !(path in mappings) && path !== 'sites')
  t.same(tableOfOptions().sort(), [...leaves, 'sites[].auth'].sort())
})

t.test(
  'the table of options has the flags of the proxy, and --help has them',
  async t => {
    const flagsOf = (text: string) => [...new Set(text.match(/--[a-z][a-z-]+/g))].sort()
    const inTable = flagsOf(
      rows(configuration, '## Options')
        .map(([, flag]) => flag)
        .join(' '),
    )
    t.same([...inTable, '--config'].sort(), flagsOf(proxyCommand.help))
    t.ok(inTable.length > 10)
    for (const flag of inTable) {
      try {
        readProxyFlags([flag, 'x', '--backend', 'http://127.0.0.1:1'])
      } catch (error) {
        t.notMatch((error as Error).message, /unknown option/i, flag)
      }
    }
    t.throws(() => readProxyFlags(['--nobody', 'x']), /unknown option/i)
  },
)

t.test('the table of options says the defaults that hold', async t => {
  const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, KiB: 1024, MiB: 1024 ** 2 }
  const rules = [
    ...Object.entries(farmNumbers).map(([name, rule]) => [`farm.${name}`, rule] as const),
    ...Object.entries(limitRules).map(
      ([name, rule]) => [`limits.${name}`, rule] as const,
    ),
  ]
  for (const [name, { usual }] of rules) {
    if (usual === undefined) continue
    const row = new RegExp(`\`${name}\` \\| +\\| \`(\\d+)(\\w*)\``).exec(configuration)
    const [, digits, unit = ''] = row ?? []
    const factor = units[unit as keyof typeof units] ?? 1
    t.equal(Number(digits) * factor, usual, name)
  }
})

t.test('each option of createFarm, attach and auth is in one table', async t => {
  const config = new Set(tableOfOptions().concat(Object.keys(mappings)))
  const more = rows(configuration, '## createFarm').flatMap(([cell = '']) => {
    const [owner = '', ...names] = cell.match(/[\w.]+/g) ?? []
    return names.map(name => `${owner}.${name}`)
  })
  t.ok(more.length > 5)
  for (const [owner, place, options] of [
    ['createFarm', 'farm', farmOptions],
    ['attach', 'nowhere', attachOptions],
    ['auth', 'sites[].auth', authOptions],
    ['auth.bearer', 'sites[].auth.bearer', bearerOptions],
    ['auth.forward', 'sites[].auth.forward', forwardOptions],
    ['auth.form', 'sites[].auth.form', formOptions],
    ['auth.attempts', 'sites[].auth.attempts', attemptLimits],
  ] as const) {
    for (const name of Object.keys(options)) {
      const index = more.indexOf(`${owner}.${name}`)
      if (index >= 0) more.splice(index, 1)
      t.not(config.has(`${place}.${name}`), index >= 0, `${owner}: ${name}, once`)
    }
  }
  t.same(more, [], 'nothing that does not exist')
})

t.test('each cause and figure is explained', async t => {
  for (const name of Object.keys({ ...causes, ...unstored, ...outcomes })) {
    t.ok(metrics.includes(`| \`${name}\``) || metrics.includes(`, \`${name}\``), name)
  }
  for (const transport of ['stream', 'unicast'] as const) {
    const farm = await createFarm({
      secret: generateSecret(),
      listen: { host: '127.0.0.1', port: 0 },
      transport,
    })
    t.teardown(() => farm.close())
    const { table, transport: figures } = farm.stats()
    t.ok(Object.keys(figures).length > 20, transport)
    for (const name of Object.keys({ ...table, ...figures })) {
      t.ok(metrics.includes(`\`${name}\``), `${transport}: ${name}`)
    }
  }
})

function site(more: object): object {
  return { sites: [{ cert: 'a', key: 'b', backends: ['http://a:1'], ...more }] }
}

/** Paths of what the file may say in a mapping: those that are told to who says `x` there. */
function keysOf(mapping: string): string[] {
  try {
    parseConfig(JSON.stringify(mappings[mapping]?.({ x: 1 })), 'x.yaml')
  } catch (error) {
    const [, keys = ''] = /expected one of (.*)$/.exec((error as Error).message) ?? []
    return keys.split(', ').map(key => (mapping === '' ? key : `${mapping}.${key}`))
  }
  return []
}

/** The paths in the first column, where `.key` has the path of the one before. */
function tableOfOptions(): string[] {
  return rows(configuration, '## Options').flatMap(([cell = '']) => {
    const [first = '', ...more] = cell.replaceAll('`', '').split(', ')
    const path = first.replace(/^\.auth/, 'sites[].auth')
    return [path, ...more.map(key => path.replace(/\.\w+$/, key))]
  })
}

/** The cells of the table rows under a heading, without the head of the table. */
function rows(text: string, heading: string): string[][] {
  const lines = text.split('\n')
  const from = lines.indexOf(lines.find(line => line.startsWith(heading)) ?? '')
  const length = lines.slice(from + 1).findIndex(line => /^#{1,3} /.test(line))
  return lines
    .slice(from, length < 0 ? undefined : from + 1 + length)
    .filter((line, index, all) => {
      const isHead = all[index + 1]?.startsWith('|---') ?? false
      return line.startsWith('| ') && !isHead
    })
    .map(line =>
      line
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim()),
    )
}
