import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Block, blocks, documents, fileNameOf } from '../fixtures/docs/blocks.ts'
import type { Running } from '../fixtures/docs/running.ts'
import { Sandbox } from '../fixtures/docs/sandbox.ts'

t.jobs = 2

/** A command that serves until it is told to go; all others end by themselves. */
const serves = /^(?:npx )?handfast proxy (?!.*--(?:check|help)\b)/

/** What a reader has written by then. */
const config = `sites:
  - cert: site.crt
    key: site.key
    backends: [http://127.0.0.1:3000]
`

for (const document of documents) {
  const own = blocks.filter(block => block.document === document)
  const commands = own.filter(({ language }) => language === 'sh')
  for (const { title, notRun } of commands) {
    if (notRun !== undefined) t.comment(`${title} is not run: ${notRun}`)
  }
  const run = commands.filter(({ notRun }) => notRun === undefined)
  if (run.length === 0) continue
  t.test(`the commands of ${document} do what they say`, async t => {
    const sandbox = await Sandbox.make(t)
    sandbox.write('handfast.yaml', sandbox.localized(config))
    for (const block of own) {
      const name = fileNameOf(block)
      if (name !== undefined) sandbox.write(name, sandbox.localized(block.text))
    }
    const there = new Set<string>()
    for (const block of run) {
      for (const name of block.given) {
        if (!there.has(name)) await give(t, sandbox, name)
        there.add(name)
      }
      await runs(t, sandbox, block)
    }
  })
}

async function runs(
  t: Test,
  sandbox: Sandbox,
  { title, text, keepsRunning }: Block,
): Promise<void> {
  // Who makes the pair has none yet.
  if (/^handfast certs$/m.test(text)) {
    rmSync(join(sandbox.folder, 'certs'), { recursive: true, force: true })
  }
  const lines = sandbox.localized(text).replaceAll('\\\n', ' ').trim().split('\n')
  let before: string[] = []
  const end = async () => {
    if (before.length === 0) return
    const script = ['set -euo pipefail', ...before, keepsRunning ? 'wait' : ''].join('\n')
    const running = sandbox.start(t, 'bash', ['-c', script])
    if (keepsRunning) {
      for (const [, port] of script.matchAll(/ADMIN_PORT=(\d+)/g)) {
        t.ok(await running.listens(Number(port)), running.output)
      }
      return
    }
    t.equal(await running.ended(), 0, `${title}\n${before.join('\n')}\n${running.output}`)
    before = []
  }
  for (const line of lines) {
    if (!serves.test(line)) {
      before.push(line)
      continue
    }
    await end()
    const server = sandbox.start(t, 'bash', ['-c', `exec ${line}`])
    await announced(server)
    server.signal('SIGTERM')
    t.equal(await server.ended(), 0, `${title}\n${line}\n${server.output}`)
  }
  await end()
}

/** What the commands of a block need, by the name in `<!-- given: -->`. */
async function give(t: Test, sandbox: Sandbox, name: string): Promise<void> {
  if (name !== 'proxy') throw new Error(`nobody gives ${name}`)
  const server = sandbox.start(t, 'bash', [
    '-c',
    sandbox.localized(
      'exec handfast proxy --listen 127.0.0.1:8443 --admin 9443 --workers 1 ' +
        '--secret-file farm.secret --backend http://127.0.0.1:3000',
    ),
  ])
  await announced(server)
}

async function announced(server: Running): Promise<void> {
  await server.says(/^handfast proxy: https:/m)
}
