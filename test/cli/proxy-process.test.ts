import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { request } from 'node:https'
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcp,
} from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { localhostCertificate, makeCertificate } from '../../lib/cli/certs.ts'
import { visit } from '../../lib/cli/demo/client.ts'
import { kinds } from '../../lib/cli/demo/kinds.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { freePort } from '../fixtures/free-port.ts'
import { patience } from '../fixtures/patience.ts'
import { CliProcess, command } from '../fixtures/process/cli-process.ts'
import { localhostFiles, localhostPair } from '../fixtures/tls/localhost-files.ts'

const run = promisify(execFile)

async function backend(
  t: Test,
  answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) =>
    response.end('hello\n'),
): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const get = (port: number, ca: string): Promise<{ status: number; text: string }> =>
  new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', servername: 'localhost', port, ca, agent: false })
      .on('error', reject)
      .on('response', response => {
        let text = ''
        response.setEncoding('utf8').on('data', chunk => {
          text += chunk
        })
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      })
      .end()
  })

t.test('a port and a backend are enough: curl gets its answer', async t => {
  const cwd = t.testdir({})
  const flags = [
    '--listen',
    '127.0.0.1:0',
    '--backend',
    await backend(t),
    '--workers',
    '1',
  ]
  const proxy = new CliProcess(t, ['proxy', ...flags], { cwd })
  const port = await proxy.port()
  const { stdout } = await run('curl', [
    ...['--silent', '--show-error', '--cacert', join(cwd, 'certs/localhost.crt')],
    `https://localhost:${port}/path?secret=1`,
  ])
  t.equal(stdout, 'hello\n')
  t.match(
    proxy.err,
    /^handfast proxy: https:\/\/127.0.0.1:\d+, 1 worker\n {2}every other name -> http:.*\n$/,
  )
  const line = await proxy.until(() => proxy.log.find(({ path }) => path !== undefined))
  t.match(line, { method: 'GET', path: '/path', status: 200, resumed: 'no' })
  proxy.signal('SIGINT')
  t.equal(await proxy.exit, 0)
})

t.test('SIGTERM: no new connections, open requests finish, exit 0', async t => {
  for (const workers of [1, 2]) {
    const cwd = t.testdir(await localhostFiles())
    const arrived = withResolvers()
    let answer: () => void = () => {}
    const url = await backend(t, (_, response) => {
      answer = () => response.end('late\n')
      response.write('early ')
      arrived.resolve(undefined)
    })
    const flags = ['--listen', '127.0.0.1:0', '--backend', url, '--workers', `${workers}`]
    const proxy = new CliProcess(t, ['proxy', ...flags], { cwd })
    const port = await proxy.port()
    const ca = readFileSync(join(cwd, 'certs/localhost.crt'), 'utf8')
    const open = get(port, ca)
    await arrived.promise
    proxy.signal('SIGTERM')
    await proxy.until(() => proxy.log.find(({ msg }) => msg === 'draining'))
    while (await accepts(port)) await new Promise(setImmediate)
    answer()
    t.match(await open, { status: 200, text: 'early late\n' }, `${workers} workers`)
    t.equal(await proxy.exit, 0)
  }
})

t.test('a second signal ends it at once, exit 1', async t => {
  for (const workers of [1, 2]) {
    const cwd = t.testdir(await localhostFiles())
    const arrived = withResolvers()
    const url = await backend(t, (_, response) => {
      response.write('early ')
      arrived.resolve(undefined)
    })
    const flags = ['--listen', '127.0.0.1:0', '--backend', url, '--workers', `${workers}`]
    const proxy = new CliProcess(t, ['proxy', ...flags], { cwd })
    const port = await proxy.port()
    const ca = readFileSync(join(cwd, 'certs/localhost.crt'), 'utf8')
    const open = get(port, ca).catch((error: Error) => error)
    await arrived.promise
    proxy.signal('SIGTERM')
    await proxy.until(() => proxy.log.find(({ msg }) => msg === 'draining'))
    proxy.signal('SIGTERM')
    t.equal(await proxy.exit, 1, `${workers} workers`)
    t.match(await open, Error)
  }
})

t.test('SIGHUP before all is up ends nothing, and is heard then', async t => {
  const { cert, key } = await localhostPair()
  const config = `listen: 127.0.0.1:0\nworkers: 1\nfarm: {secret: ${generateSecret()}}
sites: [{cert: a.crt, key: a.key, backends: ['http://127.0.0.1:1']}]\n`
  const cwd = t.testdir({ 'handfast.yaml': config, 'a.crt': cert, 'a.key': key })
  const proxy = new CliProcess(t, ['proxy', '--config', 'handfast.yaml'], { cwd })
  await proxy.until(() => proxy.log.find(({ msg }) => /secret stands/.test(`${msg}`)))
  proxy.signal('SIGHUP')
  await proxy.until(() => proxy.log.find(({ msg }) => /^reloaded/.test(`${msg}`)))
  proxy.signal('SIGTERM')
  t.equal(await proxy.exit, 0)
})

t.test(
  'SIGHUP: new certificates without dropping a connection, bad ones refused',
  async t => {
    for (const workers of [1, 2]) {
      const first = await localhostPair()
      const second = await makeCertificate(localhostCertificate)
      const url = await backend(t)
      const config = `listen: 127.0.0.1:0\nworkers: ${workers}\nsites:
  - {cert: a.crt, key: a.key, backends: ['${url}']}\n`
      const cwd = t.testdir({
        'handfast.yaml': config,
        'a.crt': first.cert,
        'a.key': first.key,
      })
      const proxy = new CliProcess(t, ['proxy', '--config', 'handfast.yaml'], { cwd })
      const port = await proxy.port()
      const kept = connectTls({ port, ca: first.cert, servername: 'localhost' })
      t.teardown(() => kept.destroy())
      await once(kept, 'secureConnect')

      writeFileSync(join(cwd, 'a.crt'), second.cert)
      proxy.signal('SIGHUP')
      const refused = await proxy.until(() =>
        proxy.log.find(({ msg }) => String(msg).startsWith('reload refused')),
      )
      t.match(
        refused['reason'],
        'handfast.yaml:4: sites[0].key: expected a file with the private',
      )
      t.equal((await get(port, first.cert)).status, 200, 'the old one is still served')

      writeFileSync(join(cwd, 'a.key'), second.key)
      proxy.signal('SIGHUP')
      await proxy.until(() =>
        proxy.log.find(({ msg }) => String(msg).startsWith('reloaded')),
      )
      // Workers hear of it a moment after the primary has said so.
      await proxy.until(
        () => proxy.log.filter(({ msg }) => /^reloaded/.test(`${msg}`)).length > 0,
      )
      await eventually(async () => (await get(port, second.cert)).status === 200)
      await t.rejects(get(port, first.cert), 'the old certificate is not shown any more')

      kept.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
      const [answer] = await once(kept, 'data')
      t.match(String(answer), /^HTTP\/1.1 200/, 'a connection from before goes on')
      proxy.signal('SIGTERM')
      t.equal(await proxy.exit, 0)
    }
  },
)

t.test(
  'every worker resumes what another minted, also one that was started anew',
  async t => {
    const cwd = t.testdir(await localhostFiles())
    const flags = [
      '--listen',
      '127.0.0.1:0',
      '--backend',
      await backend(t),
      '--workers',
      '2',
    ]
    const proxy = new CliProcess(t, ['proxy', ...flags], { cwd })
    const port = await proxy.port()
    const ca = readFileSync(join(cwd, 'certs/localhost.crt'), 'utf8')
    const requests = () => proxy.log.filter(({ msg }) => msg === 'request')

    const rounds = 8
    for (const kind of kinds) {
      for (let round = 0; round < rounds; round += 1) {
        const { session } = await visit({ port, kind, ca })
        const again = await visit({ port, kind, ca, session })
        t.equal(again.resumed, true, `${kind.title}, round ${round}`)
      }
    }
    await proxy.until(() => requests().length === 4 * rounds)
    const pids = new Set(requests().map(({ pid }) => Number(pid)))
    t.equal(pids.size, 2, 'both workers had their share')
    t.notOk(pids.has(proxy.pid), 'the primary carries no traffic')

    const [victim = 0] = pids
    const kept = await Promise.all(kinds.map(kind => visit({ port, kind, ca })))
    process.kill(victim, 'SIGKILL')
    const ended = await proxy.until(() =>
      proxy.log.find(({ msg }) => String(msg).startsWith('worker ended')),
    )
    const msg = 'worker ended unasked: another one is started'
    t.match(ended, { level: 40, msg, signal: 'SIGKILL' })
    for (const [index, kind] of kinds.entries()) {
      const again = await visit({ port, kind, ca, session: kept[index]?.session })
      t.equal(again.resumed, true, `${kind.title}, one worker dead`)
    }
    const seen = () => new Set(requests().map(({ pid }) => pid))
    while (seen().size < 3) {
      for (const kind of kinds) {
        const { session } = await visit({ port, kind, ca })
        t.equal((await visit({ port, kind, ca, session })).resumed, true, kind.title)
      }
    }
    proxy.signal('SIGTERM')
    t.equal(await proxy.exit, 0)
  },
)

t.test('two proxies are a farm by flags alone', async t => {
  const cwd = t.testdir({
    ...(await localhostFiles()),
    'farm.secret': generateSecret(),
  })
  const url = await backend(t)
  const free = await freePort()
  const flags = [
    ...['--listen', '127.0.0.1:0', '--backend', url, '--workers', '1'],
    ...['--secret-file', 'farm.secret', '--farm-name', 'two'],
  ]
  const first = new CliProcess(
    t,
    ['proxy', ...flags, '--farm-listen', `127.0.0.1:${free}`],
    { cwd },
  )
  const port = await first.port()
  const join1 = ['--farm-listen', '127.0.0.1:0', '--member', `127.0.0.1:${free}`]
  const second = new CliProcess(t, ['proxy', ...flags, ...join1], { cwd })
  const other = await second.port()
  const ca = readFileSync(join(cwd, 'certs/localhost.crt'), 'utf8')
  for (const kind of kinds) {
    const { session } = await visit({ port, kind, ca })
    t.equal((await visit({ port: other, kind, ca, session })).resumed, true, kind.title)
  }
  t.notMatch(
    first.out + second.out,
    readFileSync(join(cwd, 'farm.secret'), 'utf8').trim(),
  )
})

t.test(
  'a port that is taken is one line and exit 1, with and without workers',
  async t => {
    const taken = createTcp().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    t.teardown(() => taken.close())
    const { port } = taken.address() as AddressInfo
    for (const workers of ['1', '2']) {
      const flags = ['--listen', `127.0.0.1:${port}`, '--backend', 'http://127.0.0.1:1']
      const proxy = new CliProcess(
        t,
        ['proxy', ...flags, '--workers', workers, '--log-level', 'silent'],
        { cwd: t.testdir(await localhostFiles()) },
      )
      t.equal(await proxy.exit, 1)
      t.equal(
        proxy.err,
        `handfast proxy: can't listen on 127.0.0.1:${port}: EADDRINUSE; another program has ` +
          `it, as ss -ltnp 'sport = :${port}' tells\n`,
      )
    }
  },
)

t.test(
  'a farm port or an admin port that is taken is told in the same words',
  async t => {
    const taken = createTcp().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    t.teardown(() => taken.close())
    const { port } = taken.address() as AddressInfo
    const cwd = t.testdir(await localhostFiles())
    const env = { HANDFAST_SECRET: generateSecret() }
    const flags = ['--listen', '127.0.0.1:0', '--backend', 'http://127.0.0.1:1']
    const cases: { readonly [whose: string]: string[] } = {
      'handfast proxy: the farm': ['--farm-listen', `127.0.0.1:${port}`],
      // By the address that it is, where only the port was said.
      'handfast proxy:': ['--admin', String(port)],
    }
    for (const [whose, ports] of Object.entries(cases)) {
      for (const workers of ['1', '2']) {
        const proxy = new CliProcess(
          t,
          ['proxy', ...flags, ...ports, '--workers', workers, '--log-level', 'silent'],
          { cwd, env },
        )
        t.equal(await proxy.exit, 1)
        t.equal(
          proxy.err,
          `${whose} can't listen on 127.0.0.1:${port}: EADDRINUSE; another program has ` +
            `it, as ss -ltnp 'sport = :${port}' tells\n`,
        )
      }
    }
  },
)

t.test('a proxy whose parent is gone goes too', async t => {
  for (const workers of ['1', '2']) {
    const flags = ['--listen', '127.0.0.1:0', '--backend', 'http://127.0.0.1:1']
    const args = [...command, 'proxy', ...flags, '--workers', workers]
    const child = spawn(process.execPath, args, {
      cwd: t.testdir(await localhostFiles()),
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    const ended = once(child, 'exit')
    await new Promise<void>((resolve, reject) => {
      child.once('exit', code => reject(new Error(`exit code ${code}`)))
      child.stderr?.on('data', (text: Buffer) => {
        if (text.includes('https://')) resolve()
      })
    })
    child.disconnect()
    await ended
    t.pass(`${workers} workers`)
  }
})

function withResolvers(): {
  promise: Promise<unknown>
  resolve: (value: unknown) => void
} {
  let resolve: (value: unknown) => void = () => {}
  const promise = new Promise(done => {
    resolve = done
  })
  return { promise, resolve }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connectTcp(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

async function eventually(check: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + patience
  for (;;) {
    const good = await check().catch(() => false)
    if (good) return
    if (Date.now() > end) throw new Error('did not happen in time')
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
