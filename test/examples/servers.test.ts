import { existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { visit } from '../../lib/cli/demo/client.ts'
import { kinds } from '../../lib/cli/demo/kinds.ts'
import { root } from '../fixtures/docs/blocks.ts'
import { copyExample } from '../fixtures/docs/examples.ts'
import type { Running } from '../fixtures/docs/running.ts'
import { Sandbox } from '../fixtures/docs/sandbox.ts'
import { isBuilt } from '../fixtures/process/cli-process.ts'

t.jobs = 2

const skip = isBuilt ? false : 'the package is not built (npm run build)'

for (const [example, file] of [
  ['express', 'server.js'],
  ['fastify', 'server.js'],
  ['http-proxy', 'gateway.js'],
  ['cluster', 'server.js'],
] as const) {
  t.test(`the example ${example} resumes, and ends on SIGTERM`, { skip }, async t => {
    const sandbox = await Sandbox.make(t)
    copyExample(example, sandbox)
    await lives(t, sandbox, sandbox.start(t, process.execPath, [file]))
  })
}

const nest = join(root, 'examples/nest/node_modules')
const withoutNest = existsSync(nest)
  ? false
  : 'its packages are many: npm install in examples/nest, and it is run. Its types are checked.'

t.test(
  'the example nest resumes, and ends on SIGTERM',
  { skip: withoutNest },
  async t => {
    const sandbox = await Sandbox.make(t)
    copyExample('nest', sandbox)
    for (const name of ['@nestjs', 'reflect-metadata', 'rxjs']) {
      symlinkSync(join(nest, name), join(sandbox.folder, 'node_modules', name))
    }
    await lives(t, sandbox, sandbox.start(t, process.execPath, ['server.js']))
  },
)

t.test(
  'the example pm2 resumes in the cluster that pm2 makes of it',
  { skip },
  async t => {
    const sandbox = await Sandbox.make(t)
    copyExample('pm2', sandbox)
    // As pm2 does: a program of its own forks the application by node:cluster, and sends SIGINT.
    sandbox.write(
      'manager.cjs',
      `const cluster = require('node:cluster')
const { apps: [{ script, instances, exec_mode }] } = require('./ecosystem.config.cjs')
if (exec_mode !== 'cluster') throw new Error(exec_mode)
cluster.setupPrimary({ exec: script })
for (let id = 0; id < instances; id++) cluster.fork({ pm_id: id, name: 'shop' })
process.once('SIGTERM', () => {
  for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGINT')
})
cluster.on('exit', (_, code) => { if (code > 0) process.exitCode = 1 })
`,
    )
    await lives(t, sandbox, sandbox.start(t, process.execPath, ['manager.cjs']))
  },
)

/** Serves, knows who comes back on whichever worker, and ends in order. */
async function lives(t: Test, sandbox: Sandbox, running: Running): Promise<void> {
  const [port, ca] = [sandbox.port(8443), sandbox.cert]
  t.ok(await running.listens(port), running.output)
  for (const kind of kinds) {
    let { session } = await visit({ port, kind, ca })
    for (let visits = 0; visits < 4; visits += 1) {
      const again = await visit({ port, kind, ca, session })
      t.ok(again.resumed, kind.title)
      session = again.session ?? session
    }
  }
  running.signal('SIGTERM')
  t.equal(await running.ended(), 0, running.output)
}
