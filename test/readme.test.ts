import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  ensureCertificate,
  localhostCertificate,
  makeCertificate,
} from '../lib/cli/certs.ts'
import { loadSettings } from '../lib/cli/config/load-settings.ts'
import { readProxyFlags } from '../lib/cli/config/proxy-flags.ts'
import { parseConfig } from '../lib/cli/config/yaml-file.ts'
import { visit } from '../lib/cli/demo/client.ts'
import { kinds } from '../lib/cli/demo/kinds.ts'
import { main } from '../lib/cli/main.ts'
import { generateSecret } from '../lib/farm/secret.ts'
import { farmNumbers } from '../lib/member/options.ts'
import { limitRules } from '../lib/proxy/limits.ts'
import { startServer } from '../lib/serve/server.ts'
import { SessionClient } from './fixtures/auth-farm.ts'
import { basic } from './fixtures/auth-world.ts'
import { fakeIo } from './fixtures/cli-io.ts'
import { isBuilt } from './fixtures/cli-process.ts'
import { freePort } from './fixtures/free-port.ts'
import { MemoryLog } from './fixtures/proxy-servers.ts'

const root = new URL('..', import.meta.url)
const readme = ['plugin', 'log-in', 'proxy', 'running', 'configuration']
  .map(name => readFileSync(new URL(`docs/${name}.md`, root), 'utf8'))
  .join('\n')

for (const [, name = '', code = ''] of readme.matchAll(
  /<!-- run: (\S+) -->\n```js\n(.*?)```/gs,
)) {
  t.test(`the ${name} example runs and its sessions resume`, async t => {
    const cwd = t.testdir({})
    const { cert } = await ensureCertificate(
      {
        keyFile: join(cwd, 'certs/localhost.key'),
        certFile: join(cwd, 'certs/localhost.crt'),
      },
      localhostCertificate,
    )
    const [port, farmPort] = [await freePort(), await freePort()]
    const local = code
      .replace('8443', `${port}`)
      .replace('port: 7443', `host: '127.0.0.1', port: ${farmPort}`)
      .replace('http://127.0.0.1:3000', await backend(t))
    const file = join(cwd, 'example.mjs')
    // In here the package finds itself by its name, as built. Otherwise: from the sources.
    writeFileSync(file, isBuilt ? local : fromSources(local))
    const child = spawn(process.execPath, [...(isBuilt ? [] : process.execArgv), file], {
      cwd,
      env: { ...process.env, HANDFAST_SECRET: generateSecret() },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const ended = once(child, 'exit')
    t.teardown(async () => {
      child.kill('SIGKILL')
      await ended
    })
    await listening(port)
    if (name === 'auth') {
      await asksOnce(t, port)
      return
    }
    for (const kind of kinds) {
      const first = await visit({ port, kind, ca: cert })
      t.equal(first.resumed, false)
      const again = await visit({ port, kind, ca: cert, session: first.session })
      t.equal(again.resumed, true, kind.title)
    }
  })
}

t.test('the examples were found', async t => {
  t.equal(readme.match(/<!-- run: /g)?.length, 5)
  t.equal(readme.match(/^```js$/gm)?.length, 5, 'no example goes untested')
})

t.test('the config file is accepted', async t => {
  const [, yaml = ''] = /<!-- config -->\n```yaml\n(.*?)```/s.exec(readme) ?? []
  const { config } = parseConfig(yaml, 'handfast.yaml')
  t.equal(config.sites.length, 2)
  const broken = yaml.replace('http://10.0.1.2:3000', '10.0.1.2:3000')
  const [, shown = ''] = /^handfast proxy: (.*)$/m.exec(readme) ?? []
  t.throws(() => parseConfig(broken, 'handfast.yaml'), { message: shown })
})

t.test('the commands are understood', async t => {
  const lines = readme.match(/^handfast proxy --.*$/gm) ?? []
  t.equal(lines.length, 2)
  for (const line of lines) {
    t.doesNotThrow(() => readProxyFlags(line.split(' ').slice(2)), line)
  }
})

t.test('status, revoke and doctor do what they say', async t => {
  const lines = readme.match(/^handfast (status|revoke|doctor) .*$/gm) ?? []
  t.equal(lines.length, 4)
  const { key, cert } = await makeCertificate(localhostCertificate)
  const secret = generateSecret()
  const cwd = t.testdir({ 'a.crt': cert, 'a.key': key, 'farm.secret': secret })
  const url = await backend(t)
  const flags = ['--listen', '127.0.0.1:0', '--admin', '0', '--workers', '1']
  const pair = ['--cert', 'a.crt', '--key', 'a.key', '--secret-file', 'farm.secret']
  const io = fakeIo(cwd)
  const read = readProxyFlags([...flags, ...pair, '--backend', url])
  const log = new MemoryLog()
  const server = await startServer(await loadSettings(read, io), log)
  t.teardown(() => server.close())
  const admin = log.lines.find(({ message }) => message === 'admin listens')?.fields[
    'port'
  ]
  const addresses = `localhost:${server.port} 127.0.0.1:${server.port}`
  for (const line of lines) {
    const local = line
      .replace('9443', `${admin}`)
      .replace(/shop\.example .*/, `${addresses} --ca a.crt --chain 3`)
    t.equal(await main(local.split(' ').slice(1), io), 0, local)
  }
  t.match(io.stdout.text, /revoked: all members have it\n/)
  t.match(io.stdout.text, /Z {2}user ann {2}until .*left/)
  t.equal(io.stderr.text, '')
})

t.test('the table of options says the defaults that hold', async t => {
  const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, KiB: 1024, MiB: 1024 ** 2 }
  const rules = [
    ...Object.entries(farmNumbers).map(([name, rule]) => [`farm.${name}`, rule] as const),
    ...Object.entries(limitRules).map(
      ([name, rule]) => [`limits.${name}`, rule] as const,
    ),
  ]
  for (const [name, { usual }] of rules) {
    if (usual === undefined) continue
    const row = new RegExp(`\`${name}\` \\| +\\| \`(\\d+)(\\w*)\``).exec(readme)
    const [, digits, unit = ''] = row ?? []
    const factor = units[unit as keyof typeof units] ?? 1
    t.equal(Number(digits) * factor, usual, name)
  }
})

/** Who has logged in is known when the session comes back with the same credentials. */
async function asksOnce(t: Test, port: number): Promise<void> {
  const client = new SessionClient()
  t.equal((await client.once(port)).status, 401)
  const first = await client.once(port, basic('ann', 'open sesame'))
  t.match(first, { status: 200, text: 'hello ann\n' })
  const again = await client.once(port, basic('ann', 'open sesame'))
  t.match(again, { status: 200, text: 'hello ann\n' })
  t.equal((await client.once(port)).status, 401, 'each request must show it')
  t.equal((await new SessionClient().once(port)).status, 401, 'another client is asked')
}

function fromSources(code: string): string {
  return code
    .replace("'handfast'", `'${new URL('lib/index.ts', root).href}'`)
    .replace(/'handfast\/([a-z-]+)'/, (_, name) => {
      return `'${new URL(`plugins/${name}.ts`, root).href}'`
    })
}

async function backend(t: Test): Promise<string> {
  const server = createServer((_, response) => response.end('hello\n'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** The examples do not say when they are up, so this is found out by trying. */
async function listening(port: number): Promise<void> {
  const end = Date.now() + 30_000
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const up = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (up) return
    if (Date.now() > end) throw new Error(`nobody listens on port ${port}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
