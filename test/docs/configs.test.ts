import t from 'tap'
import { parse } from 'yaml'
import { loadSettings } from '../../lib/cli/config/load-settings.ts'
import { parseConfig } from '../../lib/cli/config/yaml-file.ts'
import { readProxyFlags } from '../../lib/cli/proxy-flags.ts'
import { describeConfig } from '../../lib/cli/schema/schema.ts'
import { fakeIo } from '../fixtures/cli/io.ts'
import { blocks, textOf } from '../fixtures/docs/blocks.ts'
import { Sandbox } from '../fixtures/docs/sandbox.ts'

const site = { cert: 'site.crt', key: 'site.key', backends: ['http://127.0.0.1:3000'] }
/** Keys of the config whose value is the path of a file. */
const fileKeys = ['cert', 'key', 'clientCa', 'backendCa', 'ca', 'htpasswd', 'secretFile']

const configs = blocks.filter(
  ({ language, text }) => language === 'yaml' && !/^(?:apiVersion|services):/m.test(text),
)

for (const { title, text } of configs) {
  t.test(`${title} is a config that the proxy takes`, async t => {
    const sandbox = await Sandbox.make(t)
    const config = whole(parse(sandbox.localized(text)))
    for (const name of filesIn(config)) sandbox.provide(name)
    const file = sandbox.write('handfast.yaml', JSON.stringify(config))
    const io = fakeIo(sandbox.folder)
    await t.resolves(loadSettings(readProxyFlags(['--config', file]), io))
  })
}

t.test('the mistake that is shown is told as shown', async t => {
  const document = textOf('docs/proxy.md')
  const [, shown = ''] = /^handfast proxy: (.*)$/m.exec(document) ?? []
  const { text = '' } = configs.find(block => block.document === 'docs/proxy.md') ?? {}
  const broken = text.replace('http://10.0.1.2:3000', '10.0.1.2:3000')
  t.throws(() => parseConfig(broken, 'handfast.yaml'), { message: shown })
})

/** A part of a config, or of a site, with what it lacks. */
function whole(given: object): object {
  const known = describeConfig().map(({ path }) => path)
  return Object.keys(given).every(key => known.includes(key))
    ? { sites: [site], ...given }
    : { sites: [{ ...site, ...given }] }
}

function filesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inside]) =>
    typeof inside === 'string'
      ? fileKeys.includes(key)
        ? [inside]
        : []
      : filesIn(inside),
  )
}
