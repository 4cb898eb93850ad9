import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import type { Farm } from '../../lib/member/farm.ts'
import { WrongClock } from '../fixtures/farm/clock-farm.ts'
import { openFarm } from '../fixtures/farm/insides.ts'
import { patientFarm } from '../fixtures/patience.ts'
import { visit } from '../fixtures/tls/client.ts'
import { listening, type Told, tellingServer } from '../fixtures/tls/servers.ts'
import { until } from '../fixtures/until.ts'

const hour = 3_600_000
const versions = ['TLSv1.2', 'TLSv1.3'] as const

interface Worker {
  readonly farm: Farm
  come(maxVersion: string, session?: Buffer): Promise<Told & { session: Buffer }>
}

/** Processes of one host, which have one wall clock. */
class HostOfOneClock {
  readonly clock: WrongClock = new WrongClock(0)
  readonly #t: Test
  readonly #options: object

  constructor(t: Test, options: object = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'handfast-clock-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    this.#t = t
    const secret = generateSecret()
    this.#options = { ...patientFarm, secret, host: join(folder, 'host'), ...options }
  }

  async start(): Promise<Worker> {
    const farm = await openFarm({ ...this.#options, clock: this.clock })
    this.#t.teardown(() => farm.close())
    const server = await tellingServer()
    farm.attach(server)
    const port = await listening(this.#t, server)
    return {
      farm,
      async come(maxVersion, session) {
        const { body, sessions } = await visit({
          port,
          session,
          maxVersion: maxVersion as 'TLSv1.2',
        })
        const last = sessions.at(-1) ?? session ?? Buffer.alloc(0)
        return { ...(JSON.parse(body) as Told), session: last }
      },
    }
  }
}

t.test('the clock of a host is turned back by an hour', async t => {
  const host = new HostOfOneClock(t)
  host.clock.off = hour
  const [a, b] = [await host.start(), await host.start()]
  for (const worker of [a, b]) await worker.come('TLSv1.2')
  host.clock.off = 0
  const workers = [a, b, await host.start()]

  await t.test('its processes agree on what time it is', async () => {
    const resumes = async ([from, to]: [Worker, Worker]) => {
      const { session } = await from.come('TLSv1.2')
      return (await to.come('TLSv1.2', session)).resumed !== false
    }
    const pairs = workers.flatMap(from =>
      workers.map((to): [Worker, Worker] => [from, to]),
    )
    for (const pair of pairs) await until(() => resumes(pair))
  })

  await t.test('sessions resume until they are revoked, on each of them', async t => {
    for (const from of workers)
      for (const version of versions) {
        const { session, lineage = '' } = await from.come(version)
        for (const to of workers)
          t.match(await to.come(version, session), { resumed: /local|ticket/ })
        const revoke = () => from.farm.revoke({ lineage: Buffer.from(lineage, 'hex') })
        t.match(await revoke(), { everywhere: true, missing: [] })
        for (const to of workers)
          t.match(await to.come(version, session), { resumed: false, cause: 'revoked' })
      }
  })
})
