import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { visit } from '../../lib/cli/demo/client.ts'
import { kinds } from '../../lib/cli/demo/kinds.ts'
import { copyExample, exampleText } from '../fixtures/docs/examples.ts'
import type { Running } from '../fixtures/docs/running.ts'
import { Sandbox } from '../fixtures/docs/sandbox.ts'
import { freePort } from '../fixtures/free-port.ts'
import { patience } from '../fixtures/patience.ts'

const module = '/usr/lib/nginx/modules/ngx_stream_module.so'
const has = (program: string) => spawnSync(program, ['-v']).error === undefined

t.test(
  'the example nginx: two proxies behind it are one farm and see the client',
  { skip: !(has('nginx') && existsSync(module)) && 'no nginx with its stream module' },
  async t => {
    const world = await twoProxies(t, 'nginx')
    const config = world.config('nginx.conf')
    const settings = ['-p', world.sandbox.folder, '-c', config, '-g']
    const own = 'daemon off; pid nginx.pid; error_log stderr;'
    t.equal(spawnSync('nginx', ['-t', ...settings, own]).status, 0, 'nginx -t')
    await world.serves(t, world.sandbox.start(t, 'nginx', [...settings, own]))
  },
)

t.test(
  'the example haproxy: two proxies behind it are one farm and see the client',
  { skip: !has('haproxy') && 'no haproxy' },
  async t => {
    const world = await twoProxies(t, 'haproxy')
    const config = world.config('haproxy.cfg')
    t.equal(spawnSync('haproxy', ['-c', '-f', config]).status, 0, 'haproxy -c')
    await world.serves(t, world.sandbox.start(t, 'haproxy', ['-db', '-f', config]))
  },
)

async function twoProxies(t: Test, example: string) {
  const sandbox = await Sandbox.make(t)
  copyExample(example, sandbox)
  sandbox.provide('shop.crt')
  sandbox.provide('shop.key')
  const second = { port: await freePort(), farm: await freePort() }
  const text = exampleText(`${example}/handfast.yaml`)
    .replace('proxyProtocol: [10.0.0.5]', 'proxyProtocol: [127.0.0.1]')
    .replace('members: [10.0.2.2]', `members: ['127.0.0.1:${second.farm}']`)
    .replace('farm:', "farm:\n  listen: '127.0.0.1:7443'")
    .replace(/^listen: 8443/m, "listen: '127.0.0.1:8443'\nworkers: 1\n")
  const first = sandbox.localized(text)
  sandbox.write('one.yaml', first)
  sandbox.write(
    'two.yaml',
    first
      .replaceAll(`:${second.farm}`, ':member')
      .replace(`127.0.0.1:${sandbox.port(7443)}`, `127.0.0.1:${second.farm}`)
      .replace(':member', `:${sandbox.port(7443)}`)
      .replace(`127.0.0.1:${sandbox.port(8443)}`, `127.0.0.1:${second.port}`),
  )
  const proxies = await Promise.all(
    ['one', 'two'].map(async name => {
      const handfast = join(sandbox.folder, 'bin/handfast')
      const proxy = sandbox.start(t, handfast, ['proxy', '--config', `${name}.yaml`])
      await proxy.says(/^handfast proxy: https:/m)
      return proxy
    }),
  )
  return {
    sandbox,
    config(name: string): string {
      const config = exampleText(`${example}/${name}`)
        .replace('10.0.2.2:8443', `127.0.0.1:${second.port}`)
        .replace('bind :443', 'bind 127.0.0.1:443')
        .replace(/bind 127.0.0.1:443|listen 443/, listen =>
          listen.replace('443', String(sandbox.port(443))),
        )
      return sandbox.write(name, sandbox.localized(config))
    },
    /** Through the balancer each client is known again, and named in the log of a proxy. */
    async serves(t: Test, balancer: Running): Promise<void> {
      const [port, ca] = [sandbox.port(443), sandbox.cert]
      t.ok(await balancer.listens(port), balancer.output)
      for (const kind of kinds) {
        let { session } = await visit({ port, kind, ca })
        for (let visits = 0; visits < 6; visits += 1) {
          const again = await visit({ port, kind, ca, session })
          t.ok(again.resumed, kind.title)
          session = again.session ?? session
        }
      }
      await ask(port, ca, '127.0.0.3')
      const isNamed = () =>
        proxies.some(({ output }) => output.includes('"client":"127.0.0.3"'))
      const end = Date.now() + patience
      while (!isNamed() && Date.now() < end) await setImmediate()
      t.ok(isNamed(), 'the log has the client, not the balancer')
      for (const proxy of proxies) proxy.signal('SIGTERM')
      for (const proxy of proxies) t.equal(await proxy.ended(), 0, proxy.output)
    },
  }
}

/** A request of a client at another address of this machine. */
async function ask(port: number, ca: string, localAddress: string): Promise<void> {
  const asked = request({
    host: '127.0.0.1',
    port,
    ca,
    localAddress,
    servername: 'localhost',
  })
  asked.end()
  const [response] = await once(asked, 'response')
  response.resume()
  await once(response, 'end')
}
