import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { programOf } from '../fixtures/process/program.ts'
import { whyNoNetworks } from '../fixtures/takeover/namespaces.ts'

const why =
  whyNoNetworks() ??
  (spawnSync('curl', ['--version']).status === 0
    ? undefined
    : 'no curl: apt install curl')
const here = why === undefined ? {} : { skip: `no takeover between hosts here: ${why}` }

t.test('a download outlives hosts that lose packets and are gone', here, async t => {
  await soak(t, 'takeover/run', [
    'without SACK and timestamps',
    'the next host dies, too',
    'the address before the sockets',
  ])
})

async function soak(t: Test, program: string, scenes: readonly string[]): Promise<void> {
  const { path, execArgv } = programOf(program)
  const args = [...execArgv, path, '--rounds', '1', '--only', scenes.join(';')]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => child.kill())
  let said = ''
  child.stdout.on('data', chunk => {
    said += chunk
  })
  const [code] = await once(child, 'close')
  t.comment(said)
  t.equal(code, 0)
  t.equal(said.match(/^ok /gm)?.length, scenes.length)
}
