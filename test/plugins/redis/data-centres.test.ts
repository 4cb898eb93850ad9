import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { startRelay } from '../../../bench/relay/relay.ts'
import { generateSecret } from '../../../lib/farm/secret.ts'
import { freePort } from '../../fixtures/free-port.ts'
import { CliProcess } from '../../fixtures/process/cli-process.ts'
import { noRedis, RedisServer } from '../../fixtures/redis/server.ts'
import { visit } from '../../fixtures/tls/client.ts'
import { localhostFiles } from '../../fixtures/tls/localhost-files.ts'
import { until } from '../../fixtures/until.ts'

/** Of a packet between the sites and back, ms. */
const roundTrip = 20
const versions = ['TLSv1.2', 'TLSv1.3'] as const

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

t.test(
  'two farms over one Redis, 20 ms away: sessions and tickets open on both sides, until one revokes',
  { skip: noRedis, timeout: 170_000 },
  async t => {
    const redis = await RedisServer.start(t)
    const away = await startRelay([redis.port], roundTrip)
    t.teardown(() => away.close())
    const env = { HANDFAST_SECRET: generateSecret() }
    const cwd = t.testdir(await localhostFiles())
    const target = await backend(t)
    const admin = await freePort()
    const start = async (port: number, farmPort: number, ...more: string[]) => {
      const proxy = new CliProcess(
        t,
        [
          ...['proxy', '--backend', target, '--listen', '127.0.0.1:0', '--workers', '1'],
          ...['--farm-listen', `127.0.0.1:${farmPort}`],
          ...['--repository', `redis://127.0.0.1:${port}`, ...more],
        ],
        { cwd, env },
      )
      return await proxy.port()
    }
    /** Two proxies that dial each other, and nobody elsewhere. */
    const site = async (port: number, ...more: string[]) => {
      const [first, second] = [await freePort(), await freePort()]
      const other = (at: number) => ['--member', `127.0.0.1:${at}`]
      return await Promise.all([
        start(port, first, ...other(second), ...more),
        start(port, second, ...other(first)),
      ])
    }
    const [[near = 0], [, far = 0]] = await Promise.all([
      site(redis.port, '--admin', `${admin}`),
      site(away.ports[0] ?? 0),
    ])
    for (const maxVersion of versions) {
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        await until(async () => {
          const [session] = (await visit({ port: from, maxVersion })).sessions
          return (await visit({ port: to, maxVersion, session: session as Buffer }))
            .reused
        })
        t.pass(`${maxVersion} resumes in the other site`)
      }
    }
    const made = await Promise.all(
      versions.map(async maxVersion => {
        const [session] = (await visit({ port: near, maxVersion })).sessions
        return { maxVersion, session: session as Buffer }
      }),
    )
    const revoke = new CliProcess(t, ['revoke', '--all', '--admin', `${admin}`], {
      cwd,
      env,
    })
    // 3: not everywhere, as far as anybody can tell through Redis.
    await revoke.exit
    for (const offered of made) {
      await until(async () => !(await visit({ port: far, ...offered })).reused)
      t.pass(`${offered.maxVersion}: revoked in the other site`)
    }
  },
)
