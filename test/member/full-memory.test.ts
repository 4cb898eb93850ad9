import { spawn, spawnSync } from 'node:child_process'
import t from 'tap'
import { ClusterHost } from '../fixtures/hosts/cluster-host.ts'
import type { Program } from '../fixtures/process/program.ts'
import { type VisitOptions, visit } from '../fixtures/tls/client.ts'
import { until } from '../fixtures/until.ts'

const script = `
mount -t tmpfs -o size=64k none /dev/shm || exit 1
dd if=/dev/zero of=/dev/shm/all bs=4096 2>/dev/null
exec "$@"`
const inside = ['-Urm', 'sh', '-c', script, 'sh']

const isPossible = spawnSync('unshare', [...inside, 'true']).status === 0
const skip = isPossible ? false : 'needs unshare -Urm (util-linux, user namespaces)'

function withoutMemory({ path, execArgv }: Program, env: NodeJS.ProcessEnv = {}) {
  return spawn('unshare', [...inside, process.execPath, ...execArgv, path], {
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    env: { ...process.env, XDG_RUNTIME_DIR: '', ...env },
  })
}

t.test(
  'workers meet elsewhere where /dev/shm has no room for a byte',
  { skip },
  async t => {
    const launch = async (program: Program) => withoutMemory(program)
    const host = await ClusterHost.start(t, 3, {}, { launch })
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      let session: Buffer | undefined
      for (const worker of [0, 1, 2, 0]) {
        const { port } = host.port(worker)
        const seen = await visit({ port, maxVersion, session } as VisitOptions)
        t.equal(seen.reused, session !== undefined, `${maxVersion} on worker ${worker}`)
        session = seen.sessions.at(-1) ?? session
      }
    }
    for (const { worker } of host.workers) {
      const { transport } = await host.stats(worker)
      t.equal(
        transport['shelf'],
        0,
        'and the figures say that nothing is shared in memory',
      )
    }
  },
)

t.test(
  'workers that can meet nowhere say so, without a log as well',
  { skip },
  async t => {
    let said = ''
    const launch = async (program: Program) => {
      const child = withoutMemory(program, { TMPDIR: '/nowhere' })
      child.stderr?.on('data', bytes => {
        said += bytes
      })
      return child
    }
    await ClusterHost.start(t, 2, {}, { launch })
    const warnings = () => said.match(/\[HANDFAST_ALONE\] Warning: workers of this host/g)
    await until(() => warnings()?.length === 2, 'a warning of each worker')
  },
)
