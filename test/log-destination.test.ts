import { execFileSync, spawnSync } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { extname, join } from 'node:path'
import t, { type Test } from 'tap'
import { createLog } from '../lib/log.ts'
import { LogDestination } from '../lib/log-destination.ts'
import { until } from './fixtures/until.ts'

/** A named pipe with both ends here: nothing is read until `read` is called. */
function pipe(t: Test): { fd: number; read: () => string } {
  const path = join(t.testdir({}), 'pipe')
  execFileSync('mkfifo', [path])
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  t.teardown(() => closeSync(fd))
  const buffer = Buffer.alloc(1024 * 1024)
  const read = () => {
    try {
      return buffer.toString('utf8', 0, readSync(fd, buffer))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return ''
      throw error
    }
  }
  return { fd, read }
}

t.test('what a full pipe can not take comes later, whole and in order', async t => {
  const { fd, read } = pipe(t)
  const log = new LogDestination(fd, { onDropped: lines => t.fail(`${lines} dropped`) })
  const lines = Array.from({ length: 3_000 }, (_, i) => `${i} ${'x'.repeat(i % 200)}\n`)
  for (const line of lines) log.write(line)
  const all = lines.join('')
  t.ok(all.length > 200_000, 'more than a pipe holds')
  let text = ''
  await until(() => {
    text += read()
    return text.length === all.length
  })
  t.equal(text, all)
  t.equal(log.dropped, 0)
})

t.test('a line that is longer than a pipe arrives whole', async t => {
  const { fd, read } = pipe(t)
  const log = new LogDestination(fd, { onDropped: () => {} })
  const long = `${'y'.repeat(200_000)}\n`
  log.write(long)
  log.write('behind\n')
  let text = ''
  await until(() => {
    text += read()
    return text.endsWith('behind\n')
  })
  t.equal(text, `${long}behind\n`)
})

t.test(
  'lines beyond the bound are dropped, counted, and told once when one reads',
  async t => {
    const { fd, read } = pipe(t)
    const log = createLog({ destination: fd })
    const text = 'z'.repeat(1_000)
    for (let i = 0; i < 3_000; i += 1) log.info({ i }, text)
    t.ok(log.dropped() > 1_000, `${log.dropped()} dropped`)
    let out = ''
    await until(() => {
      out += read()
      return out.includes('were not read and lost') && out.endsWith('\n')
    })
    const lines = out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    const told = lines.filter(({ dropped }) => dropped !== undefined)
    t.equal(told.length, 1)
    t.equal(told[0].dropped, log.dropped())
    t.equal(lines.length - 1, 3_000 - log.dropped(), 'every other line is there')
    log.info({}, 'goes on')
    await until(() => read().includes('goes on'))
  },
)

t.test('a reader that is gone, or a disk that is full, throws nothing', async t => {
  const full = new LogDestination(openSync('/dev/full', 'w'), { onDropped: () => {} })
  for (let i = 0; i < 2_000; i += 1) full.write(`${'x'.repeat(1_000)}\n`)
  t.ok(full.dropped > 0)
  const closed = openSync('/dev/null', 'w')
  const log = new LogDestination(closed, { onDropped: () => {} })
  log.write('one\n')
  t.equal(log.dropped, 0)
})

t.test('a file is appended to, and is not for everybody to read', async t => {
  const path = join(t.testdir({ log: 'before\n' }), 'log')
  const log = new LogDestination(path, { onDropped: () => {} })
  log.write('after\n')
  log.close()
  t.equal(readFileSync(path, 'utf8'), 'before\nafter\n')
  const fresh = join(t.testdirName, 'fresh')
  new LogDestination(fresh, { onDropped: () => {} }).close()
  t.equal(statSync(fresh).mode & 0o007, 0)
})

t.test('a file that was moved is opened anew where it was asked for', async t => {
  const path = join(t.testdir({}), 'log')
  const log = new LogDestination(path, { onDropped: () => t.fail('dropped') })
  t.equal(statSync(path).mode & 0o777, 0o640)
  log.write('one\n')
  renameSync(path, `${path}.1`)
  log.write('two\n')
  log.reopen()
  log.write('three\n')
  t.equal(readFileSync(`${path}.1`, 'utf8'), 'one\ntwo\n')
  await until(() => readFileSync(path, 'utf8') === 'three\n')
  rmSync(path)
  mkdirSync(path)
  t.throws(() => log.reopen(), { code: 'EISDIR' })
  log.write('four\n')
  log.close()
})

t.test('a pipe that nobody reads yet is waited for, by nobody else', async t => {
  const path = join(t.testdir({}), 'pipe')
  execFileSync('mkfifo', [path])
  const log = new LogDestination(path, { onDropped: () => {} })
  t.teardown(() => log.close())
  log.write('one\n')
  log.write('two\n')
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  t.teardown(() => closeSync(fd))
  let text = ''
  await until(() => {
    const buffer = Buffer.alloc(64)
    try {
      text += buffer.toString('utf8', 0, readSync(fd, buffer))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
    return text === 'one\ntwo\n'
  })
  t.equal(log.dropped, 0)
})

t.test('what a full disk has cut off is not the beginning of the next file', async t => {
  if (!existsSync('/dev/full')) return t.comment('no /dev/full here')
  const folder = t.testdir({})
  const path = join(folder, 'log')
  symlinkSync('/dev/full', path)
  const log = new LogDestination(path, { onDropped: () => {} })
  for (let i = 0; i < 20_000; i += 1) log.write(`${i} ${'x'.repeat(100)}\n`)
  t.ok(log.dropped > 0, 'and what is beyond the bound is lost')
  rmSync(path)
  log.reopen()
  log.write('last\n')
  log.close()
  const text = readFileSync(path, 'utf8').split('\n')
  t.match(text[0], /^0 x{100}$/)
  t.equal(text.at(-2), 'last')
  t.ok(text.slice(0, -2).every(line => /^\d+ x{100}$/.test(line)))
})

t.test('lines of one turn go out together at its end', async t => {
  const { fd, read } = pipe(t)
  const log = new LogDestination(fd, { onDropped: () => {} })
  log.write('one\n')
  log.write('two\n')
  t.equal(read(), '')
  await new Promise(resolve => setImmediate(resolve))
  t.equal(read(), 'one\ntwo\n')
})

t.test('the last turn of a process is written, however it ends by itself', async t => {
  const file = `../lib/log-destination${extname(import.meta.url)}`
  const module = new URL(file, import.meta.url)
  for (const end of ['process.exit(0)', 'throw new Error("fault")']) {
    const path = join(t.testdir({}), 'log')
    const text = `
      const { LogDestination } = await import(${JSON.stringify(module)})
      const log = new LogDestination(${JSON.stringify(path)}, { onDropped() {} })
      log.write('one\\n')
      ${end}`
    const args = [...process.execArgv, '--input-type=module', '--eval', text]
    spawnSync(process.execPath, args)
    t.equal(readFileSync(path, 'utf8'), 'one\n', end)
  }
})
