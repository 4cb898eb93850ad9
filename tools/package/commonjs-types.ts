import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Writes dist/commonjs: the declarations that the entry points reach, once more, as those of
 * CommonJS modules. Node 20.19 and later can `require` this package; a compiler with `module:
 * node16` believes it only of declarations of that kind.
 */
const dist = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(dist, 'commonjs')
const entries = [
  'lib/index',
  'lib/state/index',
  'plugins/express',
  'plugins/fastify',
  'plugins/http-proxy',
  'plugins/lmdb/index',
  'plugins/postgres/index',
  'plugins/redis/index',
]

rmSync(folder, { recursive: true, force: true })
const done = new Set<string>()
for (const entry of entries) copy(`${entry}.d.ts`)
writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs" }\n')

function copy(path: string): void {
  if (done.has(path)) return
  done.add(path)
  const text = readFileSync(join(dist, path), 'utf8').replace(/^\/\/# source.*$/gm, '')
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), text)
  for (const [, target = ''] of text.matchAll(
    /(?:from |import\()['"](\.[^'"]+)\.ts['"]/g,
  )) {
    copy(`${join(dirname(path), target)}.d.ts`)
  }
}
