import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { renewed } from './generated.ts'

/** `npm run docs`: writes anew what in the docs comes from the code. */
const folder = new URL('../../../docs/', import.meta.url)
for (const name of readdirSync(folder).filter(name => name.endsWith('.md'))) {
  const file = new URL(name, folder)
  const old = readFileSync(file, 'utf8')
  const document = renewed(old)
  if (document === old) continue
  writeFileSync(file, document)
  process.stdout.write(`docs/${name}\n`)
}
