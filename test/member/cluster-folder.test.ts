import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { type ClusterPlace, clusterMeeting } from '../../lib/member/cluster-folder.ts'
import type { FarmOptions } from '../../lib/member/options.ts'

/** Linux gives out no such pid. */
const deadPid = 2 ** 30
const uid = process.getuid?.() ?? 0

function newBase(t: Test): string {
  const base = mkdtempSync(join(tmpdir(), 'base-'))
  t.teardown(() => rmSync(base, { recursive: true }))
  return base
}

/** Where workers of a cluster with these options meet. */
function meet(base: string, options: FarmOptions, place: Partial<ClusterPlace> = {}) {
  const before = new Set(readdirSync(base))
  const own = { uid, pid: process.pid, application: ['app.js'], bases: [base], ...place }
  clusterMeeting(options, own)
  return readdirSync(base).filter(name => !before.has(name))
}

t.test('only workers of one application, farm and secret meet', async t => {
  const base = newBase(t)
  const secret = generateSecret()
  t.equal(meet(base, { secret }).length, 1)
  t.equal(meet(base, { secret }).length, 0, 'the same folder')
  t.equal(meet(base, { secret: generateSecret() }).length, 1, 'another secret')
  t.equal(meet(base, {}).length, 1, 'no secret')
  t.equal(meet(base, { secret, name: 'b' }).length, 1, 'another name')
  const application = ['other.js']
  t.equal(meet(base, {}, { application }).length, 1, 'another application of one primary')
})

t.test(
  'workers meet where others do, and not where an empty folder was left',
  async t => {
    const [better, other] = [newBase(t), newBase(t)]
    const [name = ''] = meet(other, {})
    mkdirSync(join(better, name), { mode: 0o700 })
    meet(better, {}, { bases: [better, other] })
    t.strictSame(readdirSync(join(better, name)), [], 'no key of its own')
  },
)

t.test(
  'the folders of clusters that are over are removed, with what is in them',
  async t => {
    const base = newBase(t)
    const [old = ''] = meet(base, {}, { pid: deadPid })
    writeFileSync(join(base, old, 'key'), '')
    t.ok(old.includes(`-${deadPid}-`))
    meet(base, {})
    t.notOk(existsSync(join(base, old)))
  },
)

t.test(
  'what others made under such a name is left alone, and hinders nobody',
  async t => {
    const base = newBase(t)
    const [old = ''] = meet(base, {}, { pid: deadPid })
    const victim = join(base, 'precious')
    mkdirSync(victim)
    writeFileSync(join(victim, 'file'), '')
    const open = join(base, `${old}1`)
    mkdirSync(open)
    writeFileSync(join(open, 'file'), '')
    chmodSync(open, 0o777)
    const link = join(base, `${old}2`)
    symlinkSync(victim, link)
    mkdirSync(join(base, `${old}3`, 'deep'), { recursive: true })
    chmodSync(join(base, `${old}3`), 0o700)
    writeFileSync(join(base, `${old}3`, 'deep', 'file'), '')
    t.equal(meet(base, {}).length, 1)
    t.ok(existsSync(join(open, 'file')), 'of a folder that others can write to')
    t.ok(existsSync(join(victim, 'file')), 'behind a link')
    t.ok(existsSync(join(base, `${old}3`, 'deep', 'file')), 'further down')
  },
)

t.test(
  'where a folder can not be, or is not ours alone, the next base has it',
  async t => {
    const base = newBase(t)
    const long = join(base, 'x'.repeat(80))
    mkdirSync(long)
    const taken = newBase(t)
    const [name = ''] = meet(taken, {})
    chmodSync(join(taken, name), 0o777)
    const bases = [join(base, 'missing'), long, taken, base]
    t.same(meet(base, {}, { bases }), [name])
    t.throws(() => meet(base, {}, { bases: [long] }), { code: 'ERR_HANDFAST_CONFIG' })
  },
)
