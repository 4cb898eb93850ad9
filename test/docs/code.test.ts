import t, { type Test } from 'tap'
import { visit } from '../../lib/cli/demo/client.ts'
import { kinds } from '../../lib/cli/demo/kinds.ts'
import { SessionClient } from '../fixtures/auth/farm.ts'
import { basic } from '../fixtures/auth/world.ts'
import { codeBlocks, extensionOf, moduleOf, runnable } from '../fixtures/docs/code.ts'
import { Sandbox } from '../fixtures/docs/sandbox.ts'
import { isBuilt } from '../fixtures/process/cli-process.ts'

t.jobs = 2

/** Where a sample may listen; on the first it speaks TLS. */
const ports = [8443, 8080, 9464, 9443]

for (const block of codeBlocks) {
  if (block.notRun !== undefined) {
    t.comment(`${block.title} is not run: ${block.notRun}`)
    continue
  }
  t.test(`${block.title} runs`, async t => {
    const sandbox = await Sandbox.make(t)
    const isCommonJs = extensionOf(block) === '.cjs'
    const code = sandbox.localized(moduleOf(block))
    const file = isCommonJs
      ? sandbox.write('sample.cjs', code)
      : sandbox.write('sample.mjs', runnable(code))
    const args = [...(isBuilt ? [] : process.execArgv), file]
    const running = sandbox.start(t, process.execPath, args)
    const port = ports.find(port => block.text.includes(String(port))) ?? 8443
    if (await running.listens(sandbox.port(port))) {
      const { logIn } = block
      if (logIn !== undefined) await letsIn(t, sandbox, logIn)
      else if (port === 8443) await resumes(t, sandbox)
      running.signal('SIGTERM')
    }
    t.equal(await running.ended(), 0, running.output)
  })
}

/** Whoever comes back is known, whichever TLS they speak. */
async function resumes(t: Test, sandbox: Sandbox): Promise<void> {
  const [port, ca] = [sandbox.port(8443), sandbox.cert]
  for (const kind of kinds) {
    const first = await visit({ port, kind, ca })
    t.equal(first.resumed, false)
    const again = await visit({ port, kind, ca, session: first.session })
    t.equal(again.resumed, true, kind.title)
  }
}

/** Who has logged in is known when the session comes back with the same credentials. */
async function letsIn(
  t: Test,
  sandbox: Sandbox,
  [user = '', password = '']: readonly string[],
): Promise<void> {
  const port = sandbox.port(8443)
  const client = new SessionClient()
  t.equal((await client.once(port)).status, 401)
  for (const _ of ['first', 'again']) {
    const { status, text } = await client.once(port, basic(user, password))
    t.match({ status, text }, { status: 200, text: `hello ${user}\n` })
  }
  t.equal((await client.once(port)).status, 401, 'each request must show it')
  t.equal((await new SessionClient().once(port)).status, 401, 'another client is asked')
}
