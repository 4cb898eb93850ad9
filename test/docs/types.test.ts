import { join } from 'node:path'
import t from 'tap'
import { root } from '../fixtures/docs/blocks.ts'
import { codeBlocks, extensionOf, moduleOf } from '../fixtures/docs/code.ts'
import { exampleModules } from '../fixtures/docs/examples.ts'
import { modes, typeErrors } from '../fixtures/docs/type-check.ts'

/** What the samples for Nest use of it: too many packages to have them here. */
const nest = `
declare module 'reflect-metadata' {}
declare module '@nestjs/common' {
  export function Controller(): (target: Function) => void
  export function Module(metadata: { controllers: Function[] }): (target: Function) => void
  export function Get(): (target: object, key: string, method: PropertyDescriptor) => void
}
declare module '@nestjs/core' {
  export const NestFactory: {
    create(module: Function, options?: { httpsOptions: import('node:https').ServerOptions }): Promise<{
      use(middleware: Function): unknown
      getHttpServer(): import('node:https').Server
      listen(port: number): Promise<void>
      close(): Promise<void>
    }>
  }
}
`

const files = new Map([
  ...codeBlocks.map(
    block =>
      [
        join(root, `${block.title.replaceAll('/', '-')}${extensionOf(block)}`),
        moduleOf(block),
      ] as const,
  ),
  ...[...exampleModules].map(([path, text]) => {
    const name = path.replaceAll('/', '-').replace(/(?<!\.c)\.js$/, '.ts')
    return [join(root, `examples-${name}`), text] as const
  }),
  [join(root, 'nest.d.ts'), nest] as const,
])

for (const mode of Object.keys(modes) as (keyof typeof modes)[]) {
  t.test(`each sample is right for a strict compiler, module ${mode}`, async t => {
    t.ok(files.size > 15, [...files.keys()].join(' '))
    t.same(typeErrors(files, mode), [])
  })
}
