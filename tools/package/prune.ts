import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Takes out of dist what was compiled from modules that are no more: the compiler leaves it there,
 * and it would be packed.
 */
const dist = fileURLToPath(new URL('../..', import.meta.url))
const root = join(dist, '..')

for (const folder of ['lib', 'plugins', 'bench', 'test', 'tools']) {
  for (const entry of readdirSync(join(dist, folder), {
    withFileTypes: true,
    recursive: true,
  })) {
    const output = join(entry.parentPath, entry.name)
    const [, module] = /^(.*?)(\.js|\.d\.ts)(\.map)?$/.exec(relative(dist, output)) ?? []
    if (!entry.isFile() || module === undefined) continue
    if (!existsSync(join(root, `${module}.ts`))) rmSync(output)
  }
}
