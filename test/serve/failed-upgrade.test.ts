import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CliProcess, command } from '../fixtures/cli-process.ts'
import { localhostFiles, localhostPair } from '../fixtures/localhost-files.ts'
import { objectBackend } from '../fixtures/object-backend.ts'
import { PacedDownload } from '../fixtures/paced-download.ts'

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
  'one whose messages are newer': {
    text: `${hello(99)}\nsetInterval(() => {}, 1_000)`,
    why: /can not be had without a restart/,
  },
}

t.test('an upgrade to a release that does not serve changes nothing', async t => {
  const backend = await objectBackend(t, Buffer.alloc(1))
  const cwd = t.testdir(await localhostFiles())
  const installed = join(cwd, 'handfast')
  const install = (release: string) => {
    symlinkSync(release, `${installed}.next`)
    renameSync(`${installed}.next`, installed)
  }
  const args = ['--listen', '127.0.0.1:0', '--backend', backend.url, '--workers', '2']
  const [main = '', ...loaders] = command.toReversed()
  install(main)
  const program = [...loaders.toReversed(), installed]
  const proxy = new CliProcess(t, ['proxy', ...args], { cwd, program })
  const port = await proxy.port()
  const { cert } = await localhostPair()
  mkdirSync(join(cwd, 'releases'))
  const lines = (text: string) => proxy.log.filter(({ msg }) => msg === text)
  const givenUp = 'upgrade given up: the workers that serve go on'
  for (const [index, [what, { text, why }]] of Object.entries(releases).entries()) {
    const release = join(cwd, 'releases', `${index}.mjs`)
    writeFileSync(release, `${text}\n`)
    install(release)
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
