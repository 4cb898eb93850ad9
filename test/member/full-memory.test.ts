import { spawn, spawnSync } from 'node:child_process'
import t from 'tap'
import { ClusterHost } from '../fixtures/hosts/cluster-host.ts'
import type { Program } from '../fixtures/process/program.ts'
import { type VisitOptions, visit } from '../fixtures/tls/client.ts'

const script = `
mount -t tmpfs -o size=64k none /dev/shm || exit 1
dd if=/dev/zero of=/dev/shm/all bs=4096 2>/dev/null
exec "$@"`
const inside = ['-Urm', 'sh', '-c', script, 'sh']

async function withoutMemory({ path, execArgv }: Program) {
  return spawn('unshare', [...inside, process.execPath, ...execArgv, path], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, XDG_RUNTIME_DIR: '' },
  })
}

t.test('workers meet elsewhere where /dev/shm has no room for a byte', async t => {
  if (spawnSync('unshare', [...inside, 'true']).status !== 0) {
    t.pass('skipped: needs unshare -Urm (util-linux, user namespaces)')
    return
  }
  const host = await ClusterHost.start(t, 3, {}, { launch: withoutMemory })
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    let session: Buffer | undefined
    for (const worker of [0, 1, 2, 0]) {
      const { port } = host.port(worker)
      const seen = await visit({ port, maxVersion, session } as VisitOptions)
      t.equal(seen.reused, session !== undefined, `${maxVersion} on worker ${worker}`)
      session = seen.sessions.at(-1) ?? session
    }
  }
})
