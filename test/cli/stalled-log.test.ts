import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs'
import { createServer } from 'node:http'
import { Agent, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { command } from '../fixtures/process/cli-process.ts'
import { localhostFiles } from '../fixtures/tls/localhost-files.ts'
import { until } from '../fixtures/until.ts'

/**
 * The command with a standard output that nobody reads, as under a log collector that hangs:
 * a named pipe, or the socket that a Node parent gives.
 */
async function unread(t: Test, kind: 'pipe' | 'socket', workers: number) {
  const cwd = t.testdir(await localhostFiles())
  const backend = createServer((_, response) => response.end('hello')).listen(0)
  await once(backend, 'listening')
  t.teardown(() => {
    backend.close()
    backend.closeAllConnections()
  })
  const fifo = join(cwd, 'pipe')
  execFileSync('mkfifo', [fifo])
  const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
  t.teardown(() => closeSync(fd))
  const url = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`
  const flags = ['--listen', '127.0.0.1:0', '--backend', url, '--workers', `${workers}`]
  const out = kind === 'pipe' ? fd : 'pipe'
  const child = spawn(process.execPath, [...command, 'proxy', ...flags], {
    cwd,
    stdio: ['ignore', out, 'pipe'],
  })
  const exit = once(child, 'exit').then(([code, signal]) => code ?? signal)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })
  let err = ''
  child.stderr?.setEncoding('utf8').on('data', text => {
    err += text
  })
  const listens = /^handfast proxy: https:.*?:(\d+)/m
  await until(() => listens.test(err), 'the line that says where it listens')
  const port = Number(listens.exec(err)?.[1])
  const ca = readFileSync(join(cwd, 'certs/localhost.crt'), 'utf8')
  return { child, exit, port, ca, fd }
}

/** Answers how many of the requests were answered. */
async function ask(port: number, ca: string, count: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8, ca })
  const path = `/${'x'.repeat(400)}`
  const answers = Array.from(
    { length: count },
    () =>
      new Promise<number>((resolve, reject) => {
        request({ host: '127.0.0.1', servername: 'localhost', port, path, agent })
          .on('error', reject)
          .on('response', response => {
            response.resume().on('end', () => resolve(response.statusCode ?? 0))
          })
          .end()
      }),
  )
  const good = (await Promise.all(answers)).filter(status => status === 200).length
  agent.destroy()
  return good
}

function childrenOf({ pid }: ChildProcess): number[] {
  const out = spawnSync('ps', ['-o', 'pid=', '--ppid', `${pid}`], { encoding: 'utf8' })
  return (out.stdout.match(/\d+/g) ?? []).map(Number)
}

for (const kind of ['pipe', 'socket'] as const) {
  for (const workers of [1, 2]) {
    const name = `a ${kind} that nobody reads, ${workers} workers`
    t.test(`${name}: every request is answered, and it drains`, async t => {
      const { child, exit, port, ca } = await unread(t, kind, workers)
      t.equal(await ask(port, ca, 1_000), 1_000)
      // The primary has something to say too.
      child.kill('SIGHUP')
      t.equal(await ask(port, ca, 100), 100)
      child.kill('SIGTERM')
      t.equal(await exit, 0)
    })
  }
}

t.test('who comes to read late finds whole lines and how many were lost', async t => {
  const { child, exit, port, ca, fd } = await unread(t, 'pipe', 1)
  t.equal(await ask(port, ca, 2_500), 2_500)
  let text = ''
  const buffer = Buffer.alloc(65_536)
  const read = () => {
    try {
      text += buffer.toString('utf8', 0, readSync(fd, buffer))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
  await until(() => {
    read()
    return /"dropped":\d+.*\n/.test(text)
  }, 'the line that tells of the loss')
  child.kill('SIGTERM')
  t.equal(await exit, 0)
  read()
  const lines = text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  const requests = lines.filter(({ msg }) => msg === 'request').length
  const told = lines.filter(({ dropped }) => dropped !== undefined)
  t.equal(told.length, 1)
  // A line that was lost may have been another than a request's.
  t.ok(requests <= 2_500)
  t.ok(requests + told[0].dropped >= 2_500)
})

t.test('a reader that goes away ends nothing', async t => {
  for (const workers of [1, 2]) {
    const { child, exit, port, ca } = await unread(t, 'socket', workers)
    child.stdout?.destroy()
    child.stderr?.destroy()
    t.equal(await ask(port, ca, 100), 100)
    child.kill('SIGTERM')
    t.equal(await exit, 0)
  }
})

t.test('the signal that opens the inspector of Node opens nothing', async t => {
  for (const workers of [1, 2]) {
    const { child, port, ca } = await unread(t, 'socket', workers)
    const children = childrenOf(child)
    t.equal(children.length, workers > 1 ? workers : 0)
    let err = ''
    child.stderr?.on('data', text => {
      err += text
    })
    for (const pid of [child.pid ?? 0, ...children]) {
      process.kill(pid, 'SIGUSR1')
    }
    t.equal(await ask(port, ca, 20), 20)
    t.notMatch(err, /Debugger listening/)
    child.kill('SIGKILL')
  }
})

t.test('no worker has the farm secret in its environment', async t => {
  const cwd = t.testdir(await localhostFiles())
  const secret = Buffer.alloc(32, 7).toString('base64url')
  const child = spawn(
    process.execPath,
    [
      ...command,
      ...['proxy', '--listen', '127.0.0.1:0', '--backend', 'http://127.0.0.1:1'],
      ...['--workers', '2'],
    ],
    {
      cwd,
      env: { ...process.env, HANDFAST_SECRET: secret },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  t.teardown(() => child.kill('SIGKILL'))
  let err = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    err += text
  })
  await until(() => err.includes('2 workers'), 'the line that says where it listens')
  const workers = childrenOf(child)
  t.equal(workers.length, 2)
  for (const pid of workers) {
    t.notMatch(readFileSync(`/proc/${pid}/environ`, 'utf8'), secret)
  }
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  t.same(await exit, [0, null])
})
