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
const nftables =
  why === undefined && spawnSync('nft', ['--version']).status !== 0
    ? { skip: 'no nft: apt install nftables' }
    : here

t.test('a download outlives hosts that lose packets and are gone', here, async t => {
  await soak(t, 'takeover/run', [
    'without SACK and timestamps',
    'the next host dies, too',
    'the address before the sockets',
  ])
})

t.test('of what has no socket the kernel hears when it is told so', nftables, async t => {
  await soak(t, 'takeover/strays-run', [
    'a stray is held, and reset when the kernel has it',
    'who has a socket is served, whoever ends it',
    'handshakes of which the kernel keeps nothing',
    'another port, another protocol',
    'the process is killed, and another one comes and goes',
    'packets of some clients, and a word to them',
  ])
})

t.test(
  'of a switch that is mistaken no client hears, and of a flow of nobody at once',
  nftables,
  async t => {
    await soak(t, 'takeover/switch-run', [
      'flows are moved, and come back',
      'a flow that nobody has told of',
    ])
  },
)

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
