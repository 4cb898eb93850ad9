import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import {
  ensureCertificate,
  localhostCertificate,
  makeCertificate,
} from '../../lib/cli/certs.ts'
import { startBackend } from '../../lib/cli/demo/backend.ts'
import { visit } from '../../lib/cli/demo/client.ts'
import { Fleet } from '../../lib/cli/demo/fleet.ts'
import { kinds } from '../../lib/cli/demo/kinds.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { freePort } from '../fixtures/free-port.ts'
import { CliProcess, command } from '../fixtures/process/cli-process.ts'
import { localhostFiles } from '../fixtures/tls/localhost-files.ts'

const run = promisify(execFile)

async function start(
  t: Test,
  port: number,
  flags: readonly string[],
): Promise<CliProcess> {
  const cwd = t.testdir(await localhostFiles())
  return new CliProcess(t, ['demo', '--port', `${port}`, ...flags], { cwd })
}

t.test('handfast demo --once: everything resumes everywhere, exit 0', async t => {
  // The first port is taken, so the demo has to move on.
  const port = await freePort()
  const taken = createServer().listen(port, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())

  const demo = await start(t, port, ['--once'])
  t.equal(await demo.exit, 0, demo.out + demo.err)
  for (const { title } of kinds)
    t.match(demo.out, new RegExp(`^${title} +offered on$`, 'm'))
  t.notMatch(demo.out, `:${port} `)
  t.equal(demo.out.match(/\bresumed +\d+\.\d ms +\d+ B/g)?.length, 18, 'every cell')
  t.notMatch(demo.out, 'FULL')
  t.match(demo.out, /^killed proxy 1 with SIGKILL: its sessions resume on 2 and 3$/m)
  t.match(
    demo.out,
    /^started proxy 1 again: sessions of 2, 3 and its own of before resume/m,
  )
  t.notMatch(demo.out, '\x1b', 'no colour where there is no terminal')
  t.equal(demo.err, '')
})

t.test(
  'it stays up, what it says to paste works, and nothing is left after it',
  async t => {
    const cwd = t.testdir(await localhostFiles())
    const demo = new CliProcess(t, ['demo', '--port', `${await freePort()}`], { cwd })
    await demo.until(() => /^connections \d+ /m.test(demo.out))
    const pasted = demo.out.slice(demo.out.indexOf('Try it'), demo.out.indexOf('Ctrl-C'))
    const commands =
      pasted.replaceAll('\\\n', ' ').match(/^ {2}(?:printf|curl).*$/gm) ?? []
    t.equal(commands.length, 3)
    const [mint, offer, curl] = commands.map(command =>
      command.replaceAll('/tmp/', `${cwd}/`),
    )
    const shell = async (text = '') => (await run('bash', ['-c', text], { cwd })).stdout
    t.match(await shell(mint), /^New, TLSv1.3/)
    t.match(await shell(offer), /^Reused, TLSv1.3/)
    t.match(await shell(curl), 'hello from the backend: GET / via localhost')
    await demo.until(() => demo.out.match(/^connections /gm)?.length === 2)

    const ports = [...pasted.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, port]) =>
      Number(port),
    )
    demo.signal('SIGINT')
    t.equal(await demo.exit, 0)
    for (const port of ports) {
      const server = createServer().listen(port, '127.0.0.1')
      await once(server, 'listening')
      server.close()
    }
  },
)

t.test('a signal before the end of the table ends it, and nothing is left', async t => {
  const port = await freePort()
  const demo = await start(t, port, [])
  await demo.until(() => demo.out.startsWith('three proxies'))
  demo.signal('SIGTERM')
  t.equal(await demo.exit, 143)
  const server = createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  server.close()
})

t.test('a client that is not answered as it should be says so', async t => {
  const backend = await startBackend()
  t.teardown(() => backend.close())
  const plain = Number(new URL(backend.url).port)
  for (const kind of kinds) await t.rejects(visit({ port: plain, kind, ca: '' }))

  const pair = await makeCertificate(localhostCertificate)
  const server = createHttps(pair, (_, response) => {
    response.statusCode = 502
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  for (const kind of kinds) {
    await t.rejects(visit({ port, kind, ca: pair.cert }), /answered: HTTP\/1.1 502/)
  }
})

t.test('a proxy that does not start takes the others down with it', async t => {
  const cwd = t.testdir({})
  const files = { keyFile: join(cwd, 'a.key'), certFile: join(cwd, 'a.crt') }
  await ensureCertificate(files, localhostCertificate)
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  const lost: string[] = []
  const start = Fleet.start({
    ...files,
    ports: [port],
    backend: 'http://127.0.0.1:1',
    secret: generateSecret(),
    cwd,
    onLost: (_, reason) => lost.push(reason),
  })
  await t.rejects(start, /proxy on port \d+ ended, exit code 1: .*EADDRINUSE/)
  t.match(lost, [/^exit code 1: .*EADDRINUSE/])
})

t.test('a reader that has seen enough ends it without a word, proxies too', async t => {
  const demo = spawn(
    process.execPath,
    [...command, 'demo', '--port', `${await freePort()}`],
    { cwd: t.testdir(await localhostFiles()), stdio: ['ignore', 'pipe', 'pipe'] },
  )
  t.teardown(() => demo.kill('SIGKILL'))
  let err = ''
  demo.stderr.setEncoding('utf8').on('data', text => {
    err += text
  })
  const exit = once(demo, 'exit')
  let out = ''
  demo.stdout.setEncoding('utf8').on('data', text => {
    out += text
  })
  const early = exit.then(() => {
    throw new Error(`the demo ended: ${out}${err}`)
  })
  early.catch(() => {})
  while (!out.includes('offered on'))
    await Promise.race([once(demo.stdout, 'data'), early])
  const port = Number(/proxy 1 :(\d+)/.exec(out)?.[1])
  demo.stdout.destroy()
  t.same(await exit, [141, null], 'as a shell says of SIGPIPE')
  t.equal(err, '')
  await refused(port)
})

/** Resolves when nobody listens there any more. */
async function refused(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const heard = await once(socket, 'connect').catch(() => undefined)
    socket.destroy()
    if (heard === undefined) return
  }
}
