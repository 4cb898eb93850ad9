import t from 'tap'
import type { LoginOutcome } from '../../lib/auth/auth-counters.ts'
import { proxyCommand } from '../../lib/cli/commands/proxy.ts'
import { readProxyFlags } from '../../lib/cli/proxy-flags.ts'
import { describeConfig } from '../../lib/cli/schema/schema.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import type { NotTls, UnstoredCause } from '../../lib/resumption/counters.ts'
import type { FullCause, ResumedFrom } from '../../lib/resumption/handshake.ts'
import { codeOptions } from '../../tools/docs/code-options.ts'
import { flags } from '../../tools/docs/config-options.ts'
import { renewed } from '../../tools/docs/generated.ts'
import { documents, textOf } from '../fixtures/docs/blocks.ts'

const metrics = textOf('docs/metrics.md')

type Names<T> = Record<T extends string ? T : never, true>

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
  repository: true,
  ticket: true,
  probe: true,
  'plain-http': true,
  'proxy-header': true,
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

t.test('what the docs have from the code is up to date (npm run docs)', async t => {
  for (const document of documents) {
    const text = textOf(document)
    t.equal(renewed(text), text, document)
  }
  t.match(textOf('docs/configuration.md'), '| `limits.maxBodyBytes` | `0` |')
})

t.test('each option of the API says what it is', async t => {
  for (const [owner, options] of codeOptions()) {
    t.ok(options.length > 0, owner)
    for (const { name, type, needed, about } of options) {
      t.ok(about.length > 5, `${owner}: ${name} has a sentence`)
      if (/^number$|^boolean$/.test(type) && !needed) {
        t.match(about, /default/i, `${owner}: ${name} tells its default`)
      }
    }
  }
})

t.test('each flag of the proxy stands beside the option that says the same', async t => {
  const inHelp = [...new Set(proxyCommand.help.match(/--[a-z][a-z-]+/g))]
  t.same(Object.values(flags).concat('--check', '--config').sort(), inHelp.sort())
  const paths = describeConfig().map(({ path }) => path)
  for (const [path, flag] of Object.entries(flags)) {
    t.ok(paths.includes(path), path)
    try {
      readProxyFlags([flag, 'x', '--backend', 'http://127.0.0.1:1'])
    } catch (error) {
      t.notMatch((error as Error).message, /unknown option/i, flag)
    }
  }
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
