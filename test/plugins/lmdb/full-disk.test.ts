import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { programOf } from '../../fixtures/process/program.ts'

/** Line that the program prints of a run on a disk of 8 MiB; undefined where none can be made. */
async function onSmallDisk(
  t: Test,
  name: string,
  ...args: string[]
): Promise<string | undefined> {
  const folder = t.testdir()
  const script = `mount -t tmpfs -o size=8m,mode=700 none '${folder}' && exec "$@"`
  const inside = ['-Urm', 'sh', '-c', script, 'sh']
  if (spawnSync('unshare', [...inside, 'true']).status !== 0) {
    t.pass('skipped: needs unshare -Urm (util-linux, user namespaces)')
    return undefined
  }
  const { path, execArgv } = programOf(name)
  const command = [process.execPath, ...execArgv, path, ...args, join(folder, 'd')]
  const child = spawn('unshare', [...inside, ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  return await lineOf(child)
}

t.test('a full disk turns an environment off until there is room again', async t => {
  const line = await onSmallDisk(t, 'lmdb/environment-process', 'fill')
  if (line === undefined) return
  const told = JSON.parse(line)
  t.match(told.refused, /no space left/i)
  t.match(told.whileDown, /can't be used now: .*no space left/i)
  t.ok(told.kept > 10)
  t.equal(told.here, told.kept, 'all that was acknowledged is there')
  t.match(told.states[0], { up: false })
  t.same(told.states.at(-1), { up: true })
})

t.test('a farm goes on without its full disk, and catches up', async t => {
  const line = await onSmallDisk(t, 'lmdb/full-disk-farm')
  if (line === undefined) return
  t.match(JSON.parse(line), {
    errors: ['the disk tier is off: nothing is kept on disk'],
    resumed: true,
    revoked: { everywhere: true, missing: [] },
    stateWhileFull: true,
    stateBefore: true,
    stateOfThen: true,
    revokedResumes: false,
  })
})

async function lineOf({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) return ''
  let text = ''
  while (!text.includes('\n')) text += (await once(stdout, 'data'))[0]
  return text.slice(0, text.indexOf('\n'))
}
