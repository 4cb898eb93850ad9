import t, { type Test } from 'tap'
import { SessionClient } from '../fixtures/auth/farm.ts'
import { basic } from '../fixtures/auth/world.ts'
import type { Block } from '../fixtures/docs/blocks.ts'
import { codeBlocks, moduleOf, runnable } from '../fixtures/docs/code.ts'
import type { Running } from '../fixtures/docs/running.ts'
import { Sandbox } from '../fixtures/docs/sandbox.ts'
import { isBuilt } from '../fixtures/process/cli-process.ts'
import { visit } from '../fixtures/tls/client.ts'

/*
 * The samples know nothing of workers. As pm2's cluster mode runs them, word for word, they are a
 * farm all the same.
 */
const workers = 4
const visits = 40

/** The first sample of each kind: a server as such, one with Express, one with a log-in. */
const isServer = ({ text, notRun }: Block) =>
  notRun === undefined &&
  text.includes('server.listen(8443)') &&
  !text.includes('cluster')
const samples = [
  codeBlocks.find(block => isServer(block) && !block.text.includes('express')),
  codeBlocks.find(
    block =>
      isServer(block) && block.text.includes('express') && block.logIn === undefined,
  ),
  codeBlocks.find(block => isServer(block) && block.logIn !== undefined),
]

for (const block of samples) {
  if (block === undefined) throw new Error('the docs have no such sample')
  t.test(`${block.title}, ${workers} times in the cluster mode of pm2`, async t => {
    const sandbox = await Sandbox.make(t)
    sandbox.write('server.mjs', runnable(sandbox.localized(moduleOf(block))))
    sandbox.write('telling.mjs', telling)
    const file = sandbox.write('pm2.mjs', sandbox.localized(starter))
    const args = isBuilt ? [] : process.execArgv
    const running = sandbox.start(t, process.execPath, [file, ...args])
    await running.says(/all of them listen/)
    const port = sandbox.port(8443)
    const { logIn } = block
    if (logIn !== undefined) await asksOnce(t, running, port, logIn)
    else {
      await resumes(t, port)
      const served = await running.says(/handshake on \d/, 2 * visits)
      t.equal(new Set(served).size, workers, 'each had its turn')
    }
    t.equal(running.hasEnded, false, running.output)
  })
}

async function resumes(t: Test, port: number): Promise<void> {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    let session: Buffer | undefined
    const full: number[] = []
    for (let n = 0; n < visits; n += 1) {
      const { reused, sessions } = await visit({ port, maxVersion, session })
      if (!reused) full.push(n)
      session = sessions.at(-1) ?? session
    }
    t.same(full, [0], `${maxVersion}: all but the first`)
  }
}

/** Whoever has shown a password is known on the other workers. */
async function asksOnce(
  t: Test,
  running: Running,
  port: number,
  [user = '', password = '']: readonly string[],
): Promise<void> {
  const client = new SessionClient()
  for (let n = 0; n < visits; n += 1) {
    const { status, text } = await client.once(port, basic(user, password))
    t.match({ status, text }, { status: 200, text: `hello ${user}\n` })
    // Nobody waits for long until all have heard of it. On a busy machine each needs a turn for
    // that, and the one that tells the others had one before.
    for (let turn = 0; n === 0 && turn < 2 * workers; turn += 1)
      t.equal((await new SessionClient().once(port)).status, 401)
  }
  const hits = await running.says(/known on \d/, visits - 1)
  t.equal(hits.length, visits - 1)
  t.equal((await running.says(/log-in proved/)).length, 1, 'asked once')
  t.equal(new Set(hits).size, workers, 'known on each')
}

/** What pm2 does with `exec_mode: cluster`: it forks the script with a number and arguments. */
const starter = `
import cluster from 'node:cluster'
const execArgv = [...process.argv.slice(2), '--import', './telling.mjs']
cluster.setupPrimary({ exec: 'server.mjs', execArgv, windowsHide: true })
let listen = 0
cluster.on('listening', (worker, { port }) => {
  if (port === 8443) listen += 1
  if (listen === ${workers}) console.log('all of them listen')
})
for (let n = 0; n < ${workers}; n += 1) cluster.fork({ NODE_APP_INSTANCE: n, pm_id: n })
`

/** Each worker tells what it does. */
const telling = `
import { subscribe } from 'node:diagnostics_channel'
const own = process.env.NODE_APP_INSTANCE
subscribe('handfast:handshake', () => console.log('handshake on ' + own))
subscribe('handfast:login', ({ outcome }) => console.log('log-in ' + outcome))
subscribe('handfast:login-lookup', ({ found }) => {
  if (found === 'hit') console.log('known on ' + own)
})
`
