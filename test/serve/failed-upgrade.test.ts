import { renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { objectBackend } from '../fixtures/backend/object-backend.ts'
import { CliProcess, command } from '../fixtures/process/cli-process.ts'
import { PacedDownload } from '../fixtures/serve/paced-download.ts'
import { localhostFiles, localhostPair } from '../fixtures/tls/localhost-files.ts'

const hello = (protocol: number) =>
  `process.send({ type: 'hello', protocol: ${protocol} })`

/** Programs that somebody may have installed, and what the log says of them. */
const releases: Readonly<Record<string, { text: string; why: RegExp }>> = {
  'one that does not start': { text: "throw new Error('broken')", why: /ended with 1/ },
  'one that is no program': { text: 'this is (no program', why: /ended with 1/ },
  'one that crashes before it serves': {
    text: `${hello(1)}\nprocess.on('message', () => process.exit(7))`,
    why: /ended with 7/,
  },
  'one that can not do with its settings': {
    text: `${hello(1)}
process.on('message', () => {
  process.send({ type: 'failed', message: 'no such option', exitCode: 2 }, () => process.exit(2))
})`,
    why: /no such option/,
  },
  'one that crashes once it serves': {
    text: `${hello(1)}
process.on('message', () => {
  process.send({ type: 'listening', host: '127.0.0.1', port: 1 }, () => process.exit(9))
})`,
    why: /ended with 9/,
  },
  'one whose messages are newer': {
    text: `${hello(99)}\nsetInterval(() => {}, 1_000)`,
    why: /can not be had without a restart/,
  },
}

t.test('an upgrade to a release that does not go on serving changes nothing', async t => {
  const backend = await objectBackend(t, Buffer.alloc(1))
  const { proxy, install } = await startInstalled(t, backend.url)
  const port = await proxy.port()
  const { cert } = await localhostPair()
  const lines = (text: string) => proxy.log.filter(({ msg }) => msg === text)
  const givenUp = 'upgrade given up: the workers that serve go on'
  for (const [index, [what, { text, why }]] of Object.entries(releases).entries()) {
    install(text)
    proxy.signal('SIGUSR2')
    await proxy.until(() => lines(givenUp).length > index)
    t.match(lines(givenUp)[index], { reason: why }, what)
    const client = await PacedDownload.connect(port, cert)
    client.ask('/word')
    t.ok(await client.read(), client.why)
    client.close()
  }
  t.equal(lines('upgraded').length, 0)
  const ends = lines('worker ended')
  t.equal(ends.length, Object.keys(releases).length, 'none of those that serve')
})

t.test('a worker on trial leaves with all others', async t => {
  const backend = await objectBackend(t, Buffer.alloc(1))
  const { proxy, install } = await startInstalled(t, backend.url)
  await proxy.port()
  install(`${hello(1)}
process.on('message', ({ type }) => {
  process.stderr.write('told to ' + type + '\\n')
  if (type === 'start') process.send({ type: 'listening', host: '127.0.0.1', port: 1 })
  if (type === 'drain') process.exit(0)
})`)
  proxy.signal('SIGUSR2')
  await proxy.until(() => proxy.err.includes('told to start'))
  proxy.signal('SIGTERM')
  await proxy.until(() => proxy.err.includes('told to drain'))
  t.equal(await proxy.exit, 0)
  t.notMatch(proxy.out, /given up|upgraded/)
})

/** A proxy of two workers, and what puts another release into the place of its program. */
async function startInstalled(
  t: Test,
  backend: string,
): Promise<{ proxy: CliProcess; install: (release: string) => void }> {
  const cwd = t.testdir({ ...(await localhostFiles()), releases: {} })
  const installed = join(cwd, 'handfast')
  const link = (program: string) => {
    symlinkSync(program, `${installed}.next`)
    renameSync(`${installed}.next`, installed)
  }
  let releases = 0
  const install = (text: string) => {
    const release = join(cwd, 'releases', `${releases++}.mjs`)
    writeFileSync(release, `${text}\n`)
    link(release)
  }
  const args = ['--listen', '127.0.0.1:0', '--backend', backend, '--workers', '2']
  const [main = '', ...loaders] = command.toReversed()
  link(main)
  const program = [...loaders.toReversed(), installed]
  return { proxy: new CliProcess(t, ['proxy', ...args], { cwd, program }), install }
}
