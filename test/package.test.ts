import { execFile } from 'node:child_process'
import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { root } from './fixtures/root.ts'

const run = promisify(execFile)

const uses = `
const farmOf = async (): Promise<Farm> => {
  const options: FarmOptions = { secret: process.env['HANDFAST_SECRET'], members: ['a:1'] }
  const farm = await createFarm(options)
  farm.attach(createServer())
  expressAuth(farm.auth({ basic: async user => ({ subject: user }) }).auth)
  attachHttpProxy(farm, { listen: () => undefined })
  return farm
}
void farmOf
void lmdb
void postgres
void redis
void fastifyAuth
`
const imports = `
import { createServer } from 'node:https'
import { createFarm, type Farm, type FarmOptions } from 'handfast'
import { expressAuth } from 'handfast/express'
import { fastifyAuth } from 'handfast/fastify'
import { attachHttpProxy } from 'handfast/http-proxy'
import { lmdb } from 'handfast/lmdb'
import { postgres } from 'handfast/postgres'
import { redis } from 'handfast/redis'
`

/** A project that has handfast in node_modules, as installed. */
const project = t.testdir({
  node_modules: {},
  'package.json': '{ "type": "module" }',
  'esm.mts': imports + uses,
  'commonjs.cts': `${imports}import all = require('handfast')\nvoid all.createFarm\n${uses}`,
  'plain.ts': imports + uses,
  'plain.cjs': `const { createFarm } = require('handfast')
    createFarm().then(farm => farm.close()).then(() => console.log('closed'))`,
})
for (const name of ['@types', 'fastify', 'undici-types']) {
  symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name))
}
symlinkSync(root, join(project, 'node_modules/handfast'))

const tsc = join(root, 'node_modules/typescript/bin/tsc')
const strict = [
  '--ignoreConfig',
  '--strict',
  '--noEmit',
  '--target',
  'es2023',
  '--types',
  'node',
]

async function errorsOf(...args: string[]): Promise<string> {
  const all = [tsc, ...strict, '--skipLibCheck', 'false', ...args]
  const { stdout } = await run(process.execPath, all, { cwd: project }).catch(
    error => error,
  )
  return stdout
}

t.test('declarations are right for modules and CommonJS with module node16', async t => {
  t.equal(await errorsOf('--module', 'node16', 'esm.mts', 'commonjs.cts'), '')
})

t.test('declarations are found by the old resolution', async t => {
  const old = ['--moduleResolution', 'node10', '--ignoreDeprecations', '6.0']
  t.equal(await errorsOf('--module', 'commonjs', ...old, 'plain.ts'), '')
})

t.test('a CommonJS program requires it', async t => {
  const { stdout } = await run(process.execPath, ['plain.cjs'], { cwd: project })
  t.equal(stdout, 'closed\n')
})

t.test('what package.json names is built, and in the package', async t => {
  const { exports, files, main, types, typesVersions, bin } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  )
  const named = JSON.stringify([exports, main, types, typesVersions, bin])
  const paths = named.match(/\.\/dist\/[^"]+/g) ?? []
  t.ok(paths.length > 15)
  for (const path of new Set(paths)) {
    t.ok(existsSync(join(root, path)), path)
    t.ok(
      files.some((entry: string) => path.startsWith(`./${entry}`)),
      `${path} is packed`,
    )
  }
  t.notOk(files.some((entry: string) => /test|bench|tools/.test(entry)))
})

t.test('the changelog begins with this version', async t => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const changes = readFileSync(join(root, 'CHANGELOG.md'), 'utf8')
  const [, first] = /^## (?!Unreleased)(\S+)/m.exec(changes) ?? []
  t.equal(first, version)
})
