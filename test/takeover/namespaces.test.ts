import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { programOf } from '../fixtures/built.ts'
import { whyNoNetworks } from '../fixtures/takeover/namespaces.ts'

const why =
  whyNoNetworks() ??
  (spawnSync('curl', ['--version']).status === 0
    ? undefined
    : 'no curl, apt install curl')

t.test('downloads outlive a host whose cable is cut', skipped(), async t => {
  const { path, execArgv } = programOf('takeover/run')
  const soak = spawn(process.execPath, [...execArgv, path, '--rounds', '1'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => soak.kill())
  let said = ''
  soak.stdout.on('data', chunk => {
    said += chunk
  })
  const [code] = await once(soak, 'close')
  t.comment(said)
  t.equal(code, 0)
  t.match(said, /^ok /m)
})

function skipped(): { skip?: string } {
  return why === undefined ? {} : { skip: `no takeover between hosts here: ${why}` }
}
