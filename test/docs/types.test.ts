import { join } from 'node:path'
import t from 'tap'
import { root } from '../fixtures/docs/blocks.ts'
import { codeBlocks, extensionOf, moduleOf } from '../fixtures/docs/code.ts'
import { modes, typeErrors } from '../fixtures/docs/type-check.ts'

const files = new Map(
  codeBlocks.map(block => [
    join(root, `${block.title.replaceAll('/', '-')}${extensionOf(block)}`),
    moduleOf(block),
  ]),
)

for (const mode of Object.keys(modes) as (keyof typeof modes)[]) {
  t.test(`each sample is right for a strict compiler, module ${mode}`, async t => {
    t.ok(files.size > 5)
    t.same(typeErrors(files, mode), [])
  })
}
