import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { generateSecret } from '../../../lib/farm/secret.ts'
import { load, sites } from '../../fixtures/cli/config-file.ts'
import { CliProcess } from '../../fixtures/process/cli-process.ts'
import { noRedis, RedisServer } from '../../fixtures/redis/server.ts'
import { visit } from '../../fixtures/tls/client.ts'
import { localhostFiles } from '../../fixtures/tls/localhost-files.ts'
import { until } from '../../fixtures/until.ts'

const acl = { user: 'farm', password: 'sesame', rules: '~handfast:* +@all' }

async function proxyOf(
  t: Test,
  cwd: string,
  url: string,
  env: Record<string, string>,
  workers: number,
): Promise<CliProcess> {
  const backend = createServer((_, response) => response.end('hello\n'))
  backend.listen(0, '127.0.0.1')
  await once(backend, 'listening')
  t.teardown(() => backend.close())
  const { port } = backend.address() as AddressInfo
  const flags = ['--listen', '127.0.0.1:0', '--workers', String(workers)]
  const more = ['--backend', `http://127.0.0.1:${port}`, '--repository', url]
  return new CliProcess(t, ['proxy', ...flags, ...more], { cwd, env })
}

t.test(
  'proxies that have a Redis and no port to each other resume, one that was just started too',
  {
    skip: noRedis,
    timeout: 110_000,
  },
  async t => {
    const server = await RedisServer.start(t, { acl })
    const cwd = t.testdir(await localhostFiles())
    const env = {
      HANDFAST_SECRET: generateSecret(),
      HANDFAST_REDIS_PASSWORD: acl.password,
    }
    const url = `redis://farm@127.0.0.1:${server.port}`
    const start = (workers: number) => proxyOf(t, cwd, url, env, workers)
    const first = await start(2)
    const a = await first.port()
    const resumes = async (
      from: number,
      to: number,
      maxVersion: 'TLSv1.2' | 'TLSv1.3',
    ) => {
      const { sessions } = await visit({ port: from, maxVersion })
      const session = sessions[0] as Buffer
      return (await visit({ port: to, maxVersion, session })).reused
    }
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      await until(() => resumes(a, a, version))
      t.pass(`${version} on a worker beside`)
    }
    const second = await start(1)
    const b = await second.port()
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      t.equal(await resumes(a, b, version), true, `${version} with an empty memory`)
      await until(() => resumes(b, a, version))
    }
    for (const proxy of [first, second]) {
      proxy.signal('SIGTERM')
      t.equal(await proxy.exit, 0)
      t.notMatch(proxy.out + proxy.err, 'sesame')
    }
  },
)

t.test('a Redis in the config file or by flag', async t => {
  const env = { HANDFAST_SECRET: generateSecret() }
  const file = `${sites}farm:\n  repositories: ["redis://:p@a,b/1", 10.0.0.1]\n`
  const { farm } = await load(t, file, [], { ...env, HANDFAST_REDIS_PASSWORD: 'q' })
  t.match(farm, {
    redis: { url: 'redis://:p@a,b/1', password: 'q' },
    repositories: ['10.0.0.1'],
    listen: { port: 7443 },
  })
  const flag = await load(t, sites, ['--repository', 'rediss://a'], env)
  t.strictSame(flag.farm.redis, { url: 'rediss://a' })
  t.equal(flag.farm.listen, undefined, 'it needs no farm port')
  t.equal(flag.farm.repositories, undefined)
  for (const url of ['redis://a,b:7000,c/1', 'redis+sentinel://a:1,b/main']) {
    const several = await load(t, sites, ['--repository', `10.0.0.1,${url}`], env)
    t.strictSame(several.farm.redis, { url }, 'its commas are those of the URL')
    t.strictSame(several.farm.repositories, ['10.0.0.1'])
  }

  await t.rejects(load(t, sites, ['--repository', 'redis://a']), {
    message: /is sealed under/,
  })
  for (const bad of ['redis://u:sesame@a/x', 'redis+sentinel://:sesame@a']) {
    const error = await load(t, sites, ['--repository', bad], env).catch(error => error)
    t.match(error, { message: /^--repository: expected HOST.*or redis:\/\/HOST, got / })
    t.notMatch(error.message, 'sesame')
  }
  const two = ['--repository', 'redis://a', '--repository', 'redis://b']
  await t.rejects(load(t, sites, two, env), { message: /one Redis is enough/ })
})
