import { codeTables } from './code-options.ts'
import { configTable } from './config-options.ts'

/** What is written into a document between two comments, by its name. */
const parts: Readonly<Record<string, () => string>> = {
  'the options of the file': configTable,
  'the options of the API': codeTables,
}

/** The document with its generated parts as they are now. */
export function renewed(document: string): string {
  return document.replace(
    /(<!-- npm run docs writes (.*?) -->\n)(.*?)(<!-- end -->)/gs,
    (_, begin, name, _old, end) => {
      const make = parts[name]
      if (make === undefined) throw new Error(`nobody writes ${name}`)
      return `${begin}\n${make()}\n${end}`
    },
  )
}
