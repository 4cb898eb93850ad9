import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { rename } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from 'lmdb'
import t, { type Test } from 'tap'
import { systemClock } from '../../../lib/clock.ts'
import { silentLog } from '../../../lib/log.ts'
import {
  type Change,
  type Entry,
  never,
  rankLength,
} from '../../../plugins/lmdb/entry.ts'
import {
  Environment,
  type EnvironmentOptions,
} from '../../../plugins/lmdb/environment.ts'
import { killWhileWriting } from '../../fixtures/lmdb/environment-kills.ts'
import { programOf } from '../../fixtures/process/program.ts'
import { testSeed } from '../../fixtures/random.ts'
import { until } from '../../fixtures/until.ts'

const everything = {
  prefix: Buffer.alloc(0),
  after: undefined,
  limit: 1e4,
  mostBytes: 2 ** 26,
}

async function opened(
  t: Test,
  folder: string,
  options: Partial<EnvironmentOptions> = {},
): Promise<Environment> {
  const parts = { clock: systemClock, log: silentLog, maxBytes: 64 * 1024 * 1024 }
  const environment = await Environment.open({ ...parts, folder, ...options })
  t.teardown(() => environment.close())
  return environment
}

function entry(name: string, number: number, more: Partial<Entry> = {}): Entry {
  const rank = Buffer.alloc(rankLength)
  rank.writeUInt32BE(number)
  const value = Buffer.from(`${name} ${number}`)
  return { key: Buffer.from(name), rank, expiresAt: never, kept: false, value, ...more }
}

const newer = (put: Entry): Change => ({ when: 'newer', put })

function reasonOf({ state }: Environment): string {
  return state.up ? '' : state.reason
}

async function textOf(
  environment: Environment,
  name: string,
): Promise<string | undefined> {
  return (await environment.get(Buffer.from(name)))?.value.toString()
}

t.test('what was written is there when it is opened again', async t => {
  const folder = join(t.testdir(), 'd')
  const first = await opened(t, folder)
  t.same(first.state, { up: true })
  const large = entry('large', 1, {
    value: Buffer.alloc(65_700, 'x'),
    expiresAt: 12,
    kept: true,
  })
  const empty = entry('empty', 1, { value: Buffer.alloc(0) })
  t.same(await first.write([newer(entry('a', 1)), newer(large), newer(empty)]), [
    'made',
    'made',
    'made',
  ])
  t.same(await first.get(Buffer.from('large')), large)
  await first.close()
  const second = await opened(t, folder)
  t.same(await second.get(Buffer.from('a')), entry('a', 1))
  t.same(await second.get(Buffer.from('large')), large)
  t.same(await second.get(Buffer.from('empty')), empty)
  t.equal(await second.get(Buffer.from('b')), undefined)
  t.match(second.figures(), { entries: 3, waiting: 0, maxBytes: 64 * 1024 * 1024 })
})

t.test(
  'a folder that is taken away is missed, and is used again when it is back',
  async t => {
    const folder = join(t.testdir(), 'd')
    const environment = await opened(t, folder)
    await environment.write([newer(entry('a', 1))])
    t.equal(await environment.sweep(0, 1), 0)
    await rename(folder, `${folder}-elsewhere`)
    await t.rejects(environment.sweep(0, 1), /removed, moved or replaced/)
    t.match(environment.state, { up: false, reason: /removed, moved or replaced/ })
    await t.rejects(environment.write([newer(entry('b', 1))]))
    await until(() => /put it back/.test(reasonOf(environment)))
    t.equal(existsSync(folder), false, 'and none is made in its place')
    await rename(`${folder}-elsewhere`, folder)
    await until(() => environment.state.up)
    t.equal(await textOf(environment, 'a'), 'a 1')
    t.equal(await environment.sweep(0, 1), 0)
  },
)

t.test('only this user can look into the folder', async t => {
  const folder = join(t.testdir(), 'd')
  await opened(t, folder)
  t.equal(statSync(folder).mode & 0o777, 0o700)
  for (const name of ['data.mdb', 'data.mdb-lock']) {
    t.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name)
  }
})

t.test('a folder that others can look into is refused', async t => {
  const folder = join(t.testdir(), 'd')
  mkdirSync(folder)
  for (const mode of [0o750, 0o705, 0o701, 0o720]) {
    chmodSync(folder, mode)
    await t.rejects(opened(t, folder), {
      code: 'ERR_HANDFAST_CONFIG',
      message: /others have rights there: chmod 700/,
    })
  }
})

t.test('the folder of another user is refused', async t => {
  if (process.getuid?.() !== 0) return void t.pass('only root can make one')
  const folder = join(t.testdir(), 'd')
  mkdirSync(folder, { mode: 0o700 })
  chownSync(folder, 12_345, 12_345)
  await t.rejects(opened(t, folder), {
    code: 'ERR_HANDFAST_CONFIG',
    message: /user 12345/,
  })
})

t.test('a file is no folder', async t => {
  const folder = join(t.testdir({ d: 'x' }), 'd')
  await t.rejects(opened(t, folder), {
    code: 'ERR_HANDFAST_CONFIG',
    message: /no folder|EEXIST/,
  })
  await t.rejects(opened(t, join(folder, 'e')), { code: 'ERR_HANDFAST_CONFIG' })
})

t.test('a later write wins in whatever order they come', async t => {
  const environment = await opened(t, join(t.testdir(), 'd'))
  const writes = [2, 3, 1, 3].map(number => newer(entry('a', number)))
  t.same(await environment.write(writes), ['made', 'made', 'unchanged', 'unchanged'])
  t.same(await environment.write([newer(entry('a', 2))]), ['unchanged'])
  t.equal(await textOf(environment, 'a'), 'a 3')
})

t.test('a change can depend on what is there', async t => {
  const environment = await opened(t, join(t.testdir(), 'd'))
  const { rank: one } = entry('a', 1)
  const write = async (change: Change) => (await environment.write([change]))[0]
  t.equal(await write({ when: one, put: entry('a', 2) }), 'unchanged')
  t.equal(await write({ when: 'absent', put: entry('a', 1) }), 'made')
  t.equal(await write({ when: 'absent', put: entry('a', 5) }), 'unchanged')
  t.equal(await write({ when: one, put: entry('a', 2) }), 'made')
  t.equal(await write({ when: one, put: entry('a', 3) }), 'unchanged')
  t.equal(await write({ when: one, remove: Buffer.from('a') }), 'unchanged')
  t.equal(await textOf(environment, 'a'), 'a 2')
  t.equal(await write({ when: entry('a', 2).rank, remove: Buffer.from('a') }), 'made')
  t.equal(await write({ when: 'always', remove: Buffer.from('a') }), 'unchanged')
  t.equal(await write({ when: 'always', put: entry('a', 1) }), 'made')
  t.equal(await textOf(environment, 'a'), 'a 1')
})

t.test('entries are walked over in the order of their keys, in steps', async t => {
  const environment = await opened(t, join(t.testdir(), 'd'))
  const names = ['b', 'a', 'ba', 'c', 'b\0', 'bb']
  await environment.write(names.map(name => newer(entry(name, 1))))
  const walk = async (prefix: string, limit: number) => {
    const found: string[] = []
    for (let after: Buffer | undefined; ; ) {
      const range = { ...everything, prefix: Buffer.from(prefix), after, limit }
      const step = await environment.scan(range)
      found.push(...step.map(({ key }) => key.toString()))
      after = step.at(-1)?.key
      if (after === undefined) return found
    }
  }
  for (const limit of [1, 2, 100]) {
    t.same(await walk('', limit), ['a', 'b', 'b\0', 'ba', 'bb', 'c'])
    t.same(await walk('b', limit), ['b', 'b\0', 'ba', 'bb'])
    t.same(await walk('x', limit), [])
  }
  const [only] = await environment.scan({ ...everything, mostBytes: 1 })
  t.equal(only?.key.toString(), 'a')
})

t.test('what has expired goes in steps, and by the end that it has now', async t => {
  const environment = await opened(t, join(t.testdir(), 'd'))
  const ends = [10, 20, 30, 40]
  const entries = ends.map(expiresAt => entry(`e${expiresAt}`, 1, { expiresAt }))
  await environment.write([
    ...entries.map(newer),
    newer(entry('kept', 1, { expiresAt: 15, kept: true })),
    newer(entry('later', 1, { expiresAt: 5 })),
    newer(entry('later', 2, { expiresAt: 500 })),
    newer(entry('always', 1)),
  ])
  t.equal(await environment.sweep(35, 2), 2)
  t.equal(await environment.sweep(35, 2), 2)
  t.equal(await environment.sweep(35, 2), 0)
  const left = await environment.scan(everything)
  t.same(
    left.map(({ key }) => key.toString()),
    ['always', 'e40', 'later'],
  )
})

t.test(
  'where room is short those go first that end first, and never what is kept',
  async t => {
    const environment = await opened(t, join(t.testdir(), 'd'))
    const value = Buffer.alloc(60_000, 'x')
    const some = (name: string, expiresAt: number, kept = false) =>
      newer(entry(name, 1, { value, expiresAt, kept }))
    await environment.write([some('kept', 1, true), some('soon', 2)])
    for (let batch = 0; batch < 100; batch += 1) {
      const names = Array.from({ length: 16 }, (_, i) => 1_000 + batch * 16 + i)
      await environment.write(names.map(name => some(`n${name}`, name)))
    }
    const { evicted, entries, bytes, maxBytes } = environment.figures()
    t.ok(evicted > 500 && entries < 900, `${evicted} gone, ${entries} left`)
    t.ok(bytes < maxBytes)
    t.ok(statSync(join(t.testdirName, 'd', 'data.mdb')).size <= maxBytes)
    t.equal((await environment.get(Buffer.from('kept')))?.value.length, value.length)
    t.equal(await environment.get(Buffer.from('soon')), undefined)
    t.equal(await environment.get(Buffer.from('n1000')), undefined)
    t.ok(await environment.get(Buffer.from('n2599')))
  },
)

t.test(
  'where all must be kept, what need not be is refused and nothing is lost',
  async t => {
    const environment = await opened(t, join(t.testdir(), 'd'))
    const value = Buffer.alloc(60_000, 'x')
    let kept = 0
    for (let isFull = false; !isFull && kept < 2_000; ) {
      const puts = Array.from({ length: 16 }, (_, i) =>
        newer(entry(`k${kept + i}`, 1, { value, kept: true })),
      )
      const outcomes = await environment.write(puts)
      isFull = outcomes.includes('full')
      kept += outcomes.filter(outcome => outcome === 'made').length
    }
    t.ok(kept > 500 && kept < 1_000, `${kept} kept`)
    t.same(environment.state, { up: true })
    t.same(await environment.write([newer(entry('s', 1))]), ['full'])
    const found = await environment.scan({ ...everything, mostBytes: 2 ** 30 })
    t.equal(found.length, kept)
    await environment.write(found.map(({ key }) => ({ when: 'always', remove: key })))
    t.same(await environment.write([newer(entry('s', 1))]), ['made'])
  },
)

t.test('keys and ranks of a wrong length are refused', async t => {
  const environment = await opened(t, join(t.testdir(), 'd'))
  t.throws(() => environment.write([newer(entry('', 1))]), RangeError)
  t.throws(() => environment.write([newer(entry('x'.repeat(512), 1))]), RangeError)
  const short = { ...entry('a', 1), rank: Buffer.alloc(3) }
  t.throws(() => environment.write([newer(short)]), RangeError)
  t.throws(
    () => environment.write([{ when: short.rank, put: entry('a', 1) }]),
    RangeError,
  )
  t.same(await environment.write([newer(entry('x'.repeat(511), 1))]), ['made'])
})

t.test('more than the disk takes is refused', async t => {
  const environment = await opened(t, join(t.testdir(), 'd'))
  const value = Buffer.alloc(60_000)
  const writes = Array.from({ length: 1_000 }, (_, i) =>
    environment.write([newer(entry(`${i}`, 1, { value }))]).catch(error => error.message),
  )
  const answers = await Promise.all(writes)
  t.ok(answers.includes('more is written than the disk takes'))
  t.same(await environment.write([newer(entry('a', 1))]), ['made'])
  t.equal(environment.figures().waiting, 0)
})

t.test('a newer schema is refused', async t => {
  const folder = join(t.testdir(), 'd')
  mkdirSync(folder, { mode: 0o700 })
  const root = open(join(folder, 'data.mdb'), { overlappingSync: false })
  const about = root.openDB('about', { encoding: 'binary', keyEncoding: 'binary' })
  await about.put(Buffer.from('schema'), Buffer.from([2]))
  await root.close()
  await t.rejects(opened(t, folder), {
    code: 'ERR_HANDFAST_CONFIG',
    message: /another version of handfast \(schema 2, this one has 1\)/,
  })
})

t.test('what is no LMDB file turns it off, and is left as it is', async t => {
  const folder = join(t.testdir(), 'd')
  mkdirSync(folder, { mode: 0o700 })
  writeFileSync(join(folder, 'data.mdb'), Buffer.alloc(100_000, 'no'), { mode: 0o600 })
  const environment = await opened(t, folder)
  t.match(environment.state, { up: false, reason: /not what LMDB has written/ })
  await t.rejects(environment.get(Buffer.from('a')), /can't be used now/)
  await t.rejects(environment.write([newer(entry('a', 1))]), /can't be used now/)
  t.equal(statSync(join(folder, 'data.mdb')).size, 100_000)
})

t.test('one process has a folder, and another one when that is killed', async t => {
  const folder = join(t.testdir(), 'd')
  const holder = program(t, 'hold', folder)
  t.same(JSON.parse(await lineOf(holder)), { up: true })
  const environment = await opened(t, folder)
  t.same(environment.state, {
    up: false,
    reason: `process ${holder.pid} holds ${folder}`,
  })
  // An environment that is down keeps no process alive, and this one serves nobody.
  const awake = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(awake))
  const isUp = new Promise<void>(resolve => {
    environment.onState(({ up }) => {
      if (up) resolve()
    })
  })
  holder.kill('SIGKILL')
  await isUp
  t.same(await environment.write([newer(entry('a', 1))]), ['made'])
})

t.test(
  'without fsync, what a machine that stopped had not written is not trusted',
  async t => {
    const folder = join(t.testdir(), 'd')
    const logged: unknown[] = []
    const log = { ...silentLog, warn: (_: object, text?: string) => logged.push(text) }
    const first = await opened(t, folder, { fsync: false })
    await first.write([newer(entry('a', 1))])
    await first.close()
    // It was closed in order.
    const second = await opened(t, folder, { fsync: false, log })
    t.equal(await textOf(second, 'a'), 'a 1')
    await second.close()
    writeFileSync(join(folder, 'unsynced'), 'another boot')
    const third = await opened(t, folder, { log })
    t.equal(await textOf(third, 'a'), undefined)
    t.match(logged, [/the machine stopped/])
  },
)

t.test('without the package it says what to install', async t => {
  const hooks = `export function resolve(name, context, next) {
    if (name === 'lmdb') throw Object.assign(new Error("Cannot find package 'lmdb'"), { code: 'ERR_MODULE_NOT_FOUND' })
    return next(name, context) }`
  const folder = t.testdir({
    'hooks.mjs': hooks,
    'register.mjs': `import { register } from 'node:module'
      register(new URL('hooks.mjs', import.meta.url))`,
  })
  const imported = `--import=${join(folder, 'register.mjs')}`
  const child = program(t, 'no-package', join(folder, 'd'), [imported])
  t.match(
    await lineOf(child),
    /^ERR_HANDFAST_CONFIG .*needs the package lmdb.*npm install lmdb/,
  )
})

t.test(
  'a process that is killed while it writes loses nothing that was acknowledged',
  async t => {
    const seed = testSeed()
    t.comment(`seed ${seed}`)
    const { acknowledged, problems } = await killWhileWriting(
      join(t.testdir(), 'd'),
      seed,
      5,
    )
    t.same(problems, [])
    t.ok(acknowledged > 0, `${acknowledged} acknowledged`)
  },
)

function program(
  t: Test,
  role: string,
  folder: string,
  more: string[] = [],
): ChildProcess {
  const { path, execArgv } = programOf('lmdb/environment-process')
  const child = spawn(process.execPath, [...execArgv, ...more, path, role, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

async function lineOf({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) return ''
  let text = ''
  while (!text.includes('\n')) text += (await once(stdout, 'data'))[0]
  return text.slice(0, text.indexOf('\n'))
}

t.test('who asks which process holds the folder, and stays, keeps nobody', async t => {
  // The path of a socket has 100 bytes.
  const folder = mkdtempSync(join(tmpdir(), 'handfast-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const environment = await opened(t, folder)
  const holder = join(folder, 'holder')
  const sockets = readdirSync(holder).filter(name =>
    statSync(join(holder, name)).isSocket(),
  )
  const asker = connect({ path: join(holder, sockets[0] ?? ''), allowHalfOpen: true })
  t.teardown(() => asker.destroy())
  asker.on('error', () => {})
  t.equal(String((await once(asker, 'data'))[0]), String(process.pid))
  await environment.close()
  t.equal(environment.state.up, false)
})
