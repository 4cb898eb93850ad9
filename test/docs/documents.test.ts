import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import t from 'tap'
import { blocks, documents, root, textOf } from '../fixtures/docs/blocks.ts'

/** Each has a test: code, commands, configs; `text` is what a program prints. */
const languages = ['js', 'ts', 'cjs', 'sh', 'yaml', 'nginx', 'haproxy', 'json', 'text']
const more = ['CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'bench/README.md']

t.test('each block says its language, and there is a test of it', async t => {
  t.ok(blocks.length > 20)
  for (const { title, language } of blocks) t.ok(languages.includes(language), title)
})

t.test('no sample hides from the tests as an indented block', async t => {
  for (const document of documents) {
    t.notMatch(textOf(document).replace(/^```.*?^```/gms, ''), /\n\n {4}\S/, document)
  }
})

t.test('what is not run says why', async t => {
  for (const { title, notRun } of blocks) {
    if (notRun !== undefined) t.ok(notRun.length > 10, title)
  }
})

t.test('each link leads somewhere', async t => {
  for (const document of [...documents, ...more]) {
    const text = readFileSync(join(root, document), 'utf8')
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const file =
        path === '' ? document : relative(root, join(root, dirname(document), path))
      t.ok(existsSync(join(root, file)), `${document}: ${target}`)
      if (anchor === undefined || !file.endsWith('.md')) continue
      const headings = textOf(file).match(/^#+ .*$/gm) ?? []
      t.ok(headings.map(anchorOf).includes(anchor), `${document}: ${target}`)
    }
  }
})

t.test('each document of docs is in its index', async t => {
  const index = textOf('docs/README.md')
  for (const document of documents.filter(path => /^docs\/(?!README)[^/]+$/.test(path))) {
    t.match(index, `(${relative('docs', document)})`, document)
  }
})

t.test('README is a page or two', async t => {
  t.ok(textOf('README.md').split('\n').length < 190)
})

t.test('nothing stands in the changelog twice', async t => {
  const lines = textOf('CHANGELOG.md')
    .split('\n')
    .filter(line => line.length > 30)
  t.ok(lines.length > 20)
  t.same(
    lines.filter((line, index) => lines.indexOf(line) !== index),
    [],
  )
})

/** As GitHub makes them. */
function anchorOf(heading: string): string {
  return heading
    .replace(/^#+ /, '')
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replaceAll(' ', '-')
}
