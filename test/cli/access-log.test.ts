import { once } from 'node:events'
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { createServer } from 'node:http'
import { get } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CliProcess } from '../fixtures/process/cli-process.ts'
import { localhostFiles } from '../fixtures/tls/localhost-files.ts'
import { until } from '../fixtures/until.ts'

async function start(t: Test, flags: readonly string[]) {
  const backend = createServer((_, response) => response.end('hello'))
  backend.listen(0, '127.0.0.1')
  await once(backend, 'listening')
  t.teardown(() => {
    backend.closeAllConnections()
    backend.close()
  })
  const to = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`
  const cwd = t.testdir(await localhostFiles())
  const listen = ['--listen', '127.0.0.1:0', '--backend', to]
  return { cwd, proxy: new CliProcess(t, ['proxy', ...listen, ...flags], { cwd }) }
}

const ask = (port: number, path: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const options = { port, path, rejectUnauthorized: false, agent: false }
    get({ host: '127.0.0.1', ...options }, response => {
      response.resume().on('end', () => resolve(response.statusCode))
    }).on('error', reject)
  })

for (const workers of ['1', '2']) {
  t.test(`${workers} workers: a file of their own, opened anew on SIGUSR1`, async t => {
    const { cwd, proxy } = await start(t, [
      ...['--workers', workers, '--log-level', 'info'],
      ...['--access-log', 'access.log', '--access-log-format', 'combined'],
    ])
    const port = await proxy.port()
    const path = join(cwd, 'access.log')
    for (let i = 0; i < 8; i += 1) t.equal(await ask(port, `/before${i}`), 200)
    renameSync(path, `${path}.1`)
    proxy.signal('SIGUSR1')
    const opened = () => proxy.log.filter(({ msg }) => msg === 'access log opened anew')
    await proxy.until(() => opened().length === Number(workers))
    for (let i = 0; i < 8; i += 1) t.equal(await ask(port, `/after${i}`), 200)
    const lines = (file: string) => readFileSync(file, 'utf8').trim().split('\n')
    await until(() => existsSync(path) && lines(path).length === 8)
    t.equal(lines(`${path}.1`).length, 8)
    t.ok(lines(`${path}.1`).every(line => line.includes('"GET /before')))
    t.ok(lines(path).every(line => line.includes('"GET /after')))
    t.notOk(
      proxy.log.some(({ msg }) => msg === 'request'),
      'and not in the log as well',
    )
    proxy.signal('SIGTERM')
    t.equal(await proxy.exit, 0)
  })
}

t.test('it can be switched off, or be on while the log is silent', async t => {
  const off = await start(t, [
    ...['--workers', '2', '--log-format', 'pretty', '--access-log', 'off'],
  ])
  t.equal(await ask(await off.proxy.port(), '/'), 200)
  off.proxy.signal('SIGTERM')
  t.equal(await off.proxy.exit, 0)
  for (const line of off.proxy.out.trim().split('\n')) {
    t.match(line, /^\d{4}-\d\d-\d\dT\S+Z (INFO|WARN|DEBUG|ERROR) /, 'of each worker')
    t.notMatch(line, / request /)
  }
  const on = await start(t, [
    ...['--workers', '1', '--log-level', 'silent', '--access-log', 'stdout'],
  ])
  t.equal(await ask(await on.proxy.port(), '/x'), 200)
  await on.proxy.until(() => on.proxy.log.length === 1)
  t.match(on.proxy.log, [{ time: /^\d{4}-.*Z$/, path: '/x', status: 200 }])
})

t.test('a file that cannot be written is said before a client comes', async t => {
  for (const workers of ['1', '2']) {
    const { proxy } = await start(t, [
      '--workers',
      workers,
      '--access-log',
      'no/such/log',
    ])
    t.equal(await proxy.exit, 2)
    t.match(proxy.err + proxy.out, /accessLog: can't write .*no\/such\/log \(ENOENT\)/)
  }
  const { proxy } = await start(t, ['--access-log-format', 'combined'])
  t.equal(await proxy.exit, 2)
  t.match(proxy.err, '--access-log-format needs --access-log')
})
