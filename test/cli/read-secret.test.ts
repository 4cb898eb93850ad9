import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadSettings } from '../../lib/cli/config/load-settings.ts'
import { readProxyFlags } from '../../lib/cli/proxy-flags.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { fail, load, sites } from '../fixtures/cli/config-file.ts'
import { fakeIo } from '../fixtures/cli/io.ts'

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
