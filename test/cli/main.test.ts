import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { commands } from '../../lib/cli/commands.ts'
import { main } from '../../lib/cli/main.ts'
import { runToEnd } from '../../lib/cli/run-to-end.ts'
import { parseSecret } from '../../lib/farm/secret.ts'
import { fakeIo } from '../fixtures/cli/io.ts'
import { rootUrl } from '../fixtures/root.ts'

async function run(
  cwd: string,
  args: readonly string[],
  env: Record<string, string> = {},
) {
  const io = fakeIo(cwd, env)
  const code = await main(args, io)
  return { code, out: io.stdout.text, err: io.stderr.text }
}

t.test('handfast alone shows its commands and exits 2', async t => {
  const { code, err } = await run(t.testdir({}), [])
  t.equal(code, 2)
  t.match(err, /Usage: handfast COMMAND/)
  t.match(err, /demo {7}three proxies/)
  t.notMatch(err, /worker/, 'what is not for people is not listed')
})

t.test('help goes to standard output, exit 0', async t => {
  const cwd = t.testdir({})
  for (const args of [['--help'], ['-h'], ['help']]) {
    const { code, out } = await run(cwd, args)
    t.equal(code, 0)
    t.match(out, /Usage: handfast COMMAND/)
  }
  for (const name of Object.keys(commands)) {
    const asked = await run(cwd, [name, '--help'])
    t.equal(asked.code, 0)
    t.match(asked.out, /^Usage: handfast /, name)
    t.equal((await run(cwd, ['help', name])).out, asked.out)
  }
})

t.test('the version is that of package.json', async t => {
  const { code, out } = await run(t.testdir({}), ['--version'])
  const text = readFileSync(new URL('package.json', rootUrl), 'utf8')
  t.equal(code, 0)
  t.equal(out.trim(), JSON.parse(text).version)
})

t.test('an unknown command, option or argument is one line and exit 2', async t => {
  const cwd = t.testdir({})
  const cases: [string[], RegExp][] = [
    [['prxy'], /^handfast: unknown command 'prxy'; see handfast --help\n$/],
    [['toString'], /^handfast: unknown command 'toString'/],
    [['--nope'], /^handfast: unknown option '--nope'/],
    [
      ['proxy', '--backnd', 'x'],
      /unknown option '--backnd', did you mean --backend\?; see/,
    ],
    [
      ['secret', '--long'],
      /^handfast secret: unknown option '--long'; see handfast secret/,
    ],
    [['secret', 'me'], /^handfast secret: unexpected argument "me"/],
    [['demo', '--port'], /^handfast demo: option '--port <value>' argument missing/],
    [['demo', '--once=no'], /^handfast demo: option '--once' does not take an argument/],
    [['demo', '--port', 'x'], /^handfast demo: --port: expected a whole number .*"x"\n$/],
    [['demo', '--port', '70000'], /expected a whole number from 1 to 65535/],
    [['certs', '--days', '0'], /^handfast certs: --days: expected a whole number/],
    [['certs', '--name', 'a b'], /^handfast certs: --name: expected a host name/],
    [['worker'], /^handfast worker: only handfast proxy starts workers\n$/],
    [['demo-part'], /^handfast demo-part: only handfast demo starts its parts\n$/],
  ]
  for (const [args, expected] of cases) {
    const { code, out, err } = await run(cwd, args)
    t.equal(code, 2, args.join(' '))
    t.equal(out, '')
    t.match(err, expected)
    t.equal(err.split('\n').length, 2, 'one line')
  }
})

t.test('handfast proxy says what is wrong with its flags', async t => {
  const cwd = t.testdir({ 'x.yaml': '' })
  const backend = ['--backend', 'http://127.0.0.1:1']
  const cases: [string[], RegExp][] = [
    [[], /needs --backend URL, or --config FILE/],
    [['--backend', 'ftp://x'], /--backend: expected http.*got "ftp:\/\/x"/],
    [
      ['--backend', 'http://x/path'],
      /--backend: expected http.* \(a path goes into addPath of the site or route, in the config file\), got "http:\/\/x\/path"/,
    ],
    [['--backend', 'http://x:70000'], /--backend: .*\(a port is at most 65535\), got/],
    [
      ['--backend', 'http://::1:3000'],
      /--backend: .*\(an IPv6 address stands in brackets/,
    ],
    [
      ['--backend', 'x:3000'],
      /--backend: expected http[^ ]* or https[^ ]*, got "x:3000"/,
    ],
    [
      [...backend, '--listen', '70000'],
      /--listen: expected \[HOST:\]PORT \(a port is at most 65535\), got "70000"/,
    ],
    [
      [...backend, '--listen', '::1:80'],
      /--listen: expected \[HOST:\]PORT \(an IPv6 address stands in brackets: \[::1\]:8443\)/,
    ],
    [[...backend, '--listen', 'fe80::1'], /--listen: .*IPv6 address stands in brackets/],
    [
      [...backend, '--listen', 'a b:80'],
      /--listen: expected \[HOST:\]PORT, got "a b:80"/,
    ],
    [[...backend, '--cert', 'x.crt'], /--cert and --key belong together/],
    [
      [...backend, '--cert', 'x', '--key', 'y'],
      /--cert x: expected a readable file \(ENOENT/,
    ],
    [[...backend, '--workers', '0'], /--workers: expected a whole number from 1/],
    [[...backend, '--trusted-proxy', 'lan'], /--trusted-proxy: expected an IP address/],
    [[...backend, '--log-level', 'loud'], /--log-level: expected debug, info/],
    [[...backend, '--farm-name', 'a b'], /--farm-name: expected 1 to 64/],
    [[...backend, '--farm-advertise', '/x'], /--farm-advertise: expected a host name/],
    [
      [...backend, '--transport', 'pigeon'],
      /--transport: expected auto, multicast, unicast or stream, got "pigeon"/,
    ],
    [[...backend, '--member', 'a:b:c'], /--member: expected HOST\[:PORT\]/],
    [[...backend, '--member', '10.0.0.1'], /joining a farm needs its secret/],
    [[...backend, '--farm-listen', '0'], /joining a farm needs its secret/],
    [[...backend, '--config', 'x.yaml'], /--backend and --config exclude each other/],
    [['--config', 'none.yaml'], /--config: can't read none.yaml \(ENOENT\)/],
    [
      [...backend, '--secret-file', 'none'],
      /--secret-file: expected a readable file \(ENOENT\), got "none"/,
    ],
  ]
  for (const [args, expected] of cases) {
    const { code, err } = await run(cwd, ['proxy', ...args])
    t.equal(code, 2, args.join(' '))
    t.match(err, expected)
    t.equal(err.split('\n').length, 2, 'one line')
  }
})

t.test('a wrong secret in the environment is refused and not shown', async t => {
  const secret = 'not-quite-a-secret-0123456789'
  const args = ['proxy', '--backend', 'http://127.0.0.1:1', '--farm-listen', '0']
  const { code, err } = await run(t.testdir({}), args, { HANDFAST_SECRET: secret })
  t.equal(code, 2)
  t.match(err, /HANDFAST_SECRET: expected 32 bytes/)
  t.notMatch(err, secret)
})

t.test('handfast secret prints another 32 bytes each time', async t => {
  const cwd = t.testdir({})
  const first = await run(cwd, ['secret'])
  const second = await run(cwd, ['secret'])
  t.equal(parseSecret(first.out).length, 32)
  t.not(first.out, second.out)
})

t.test(
  'handfast certs writes a pair of its owner and overwrites only when told',
  async t => {
    const cwd = t.testdir({})
    const args = [
      'certs',
      '--name',
      '*.shop.test,shop.test',
      '--name',
      '10.0.0.1',
      '--rsa',
    ]
    const made = await run(cwd, args)
    t.equal(made.code, 0, made.err)
    t.match(made.out, 'certs/wildcard.shop.test.crt for *.shop.test, shop.test, 10.0.0.1')
    const file = join(cwd, 'certs/wildcard.shop.test.key')
    t.equal(statSync(file).mode & 0o777, 0o600)
    const before = readFileSync(file, 'utf8')

    const again = await run(cwd, args)
    t.equal(again.code, 2)
    t.match(again.err, /already there; --force overwrites it/)
    t.equal(readFileSync(file, 'utf8'), before)

    t.equal((await run(cwd, [...args, '--force'])).code, 0)
    t.not(readFileSync(file, 'utf8'), before)
  },
)

t.test('handfast bench runs the benchmarks of a checkout', async t => {
  const { code, err } = await run(t.testdir({}), ['bench', 'no-such-benchmark'])
  // Where nothing is built, there are none: that is what an installed package says too.
  if (err !== '') t.match(err, /the benchmarks are not part of the installed package/)
  t.equal(code, err === '' ? 2 : 1)
})

t.test('a program that is run to its end passes on its exit code', async t => {
  t.equal(await runToEnd(process.execPath, ['-e', 'process.exit(7)']), 7)
  t.equal(await runToEnd('sh', ['-c', 'kill -9 $$']), 137)
})
