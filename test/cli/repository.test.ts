import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { inTheEnd } from '../fixtures/farm/reached.ts'
import { freePort } from '../fixtures/free-port.ts'
import { type CliOptions, CliProcess } from '../fixtures/process/cli-process.ts'
import { visit } from '../fixtures/tls/client.ts'

const tls12 = { maxVersion: 'TLSv1.2' } as const

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

class Tiered {
  readonly #t: Test
  readonly #options: CliOptions
  readonly #backend: string
  readonly ports: readonly number[]
  repositories: CliProcess[] = []
  proxies: CliProcess[] = []
  readonly admin: number

  constructor(test: Test, backend: string, ports: readonly number[], admin: number) {
    this.#t = test
    this.#backend = backend
    this.ports = ports
    this.admin = admin
    const env = { HANDFAST_SECRET: generateSecret() }
    this.#options = { cwd: test.testdir({}), env }
  }

  async repository(at: number): Promise<CliProcess> {
    const [own, other] = [this.ports[at], this.ports[1 - at]]
    const process = new CliProcess(
      this.#t,
      [
        'repository',
        ...['--listen', `127.0.0.1:${own}`, '--member', `127.0.0.1:${other}`],
        ...['--disk', `disk-${at}`, '--member-id', `repository-${at}`],
      ],
      this.#options,
    )
    this.repositories[at] = process
    await process.until(() => process.err.includes('handfast repository: 127.0.0.1:'))
    return process
  }

  async proxy(at: number): Promise<CliProcess> {
    const process = new CliProcess(
      this.#t,
      [
        'proxy',
        ...['--backend', this.#backend, '--listen', '127.0.0.1:0', '--workers', '2'],
        ...this.ports.flatMap(port => ['--repository', `127.0.0.1:${port}`]),
        ...['--farm-listen', '127.0.0.1:0', '--log-format', 'json'],
        ...(at === 0 ? ['--admin', `${this.admin}`] : []),
      ],
      this.#options,
    )
    this.proxies[at] = process
    await process.port()
    return process
  }

  async start(): Promise<void> {
    await Promise.all([0, 1].map(at => this.repository(at)))
    // Not both at once: the first makes the certificate.
    for (const at of [0, 1]) await this.proxy(at)
  }

  async stop(): Promise<void> {
    const all = [...this.proxies, ...this.repositories]
    for (const one of all) one.signal('SIGTERM')
    await Promise.all(all.map(one => one.exit))
  }

  async come(at: number, session?: Buffer) {
    const port = await this.proxies[at]?.port()
    return await visit({ port: port ?? 0, session, ...tls12 })
  }

  async status(): Promise<{ readonly transport: { readonly [figure: string]: number } }> {
    const answer = await fetch(`http://127.0.0.1:${this.admin}/status`)
    return (await answer.json()) as { transport: { [figure: string]: number } }
  }

  async run(...args: string[]): Promise<number> {
    return await new CliProcess(this.#t, args, this.#options).exit
  }
}

async function tiered(test: Test): Promise<Tiered> {
  const ports = [await freePort(), await freePort()]
  return new Tiered(test, await backend(test), ports, await freePort())
}

async function resumedSoon(come: () => Promise<{ reused: boolean }>): Promise<boolean> {
  for (let i = 0; i < 100; i += 1) {
    if ((await come()).reused) return true
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  return false
}

t.test('proxies go on when one repository is killed, and when all are', async t => {
  const farm = await tiered(t)
  await farm.start()
  const { sessions } = await farm.come(0)
  const [first] = sessions
  t.ok(await resumedSoon(() => farm.come(1, first)), 'on the other proxy')
  t.match(await farm.status(), { transport: { tiered: 1, writesNotDurable: 0 } })

  let isOver = false
  const made: (Buffer | undefined)[] = []
  const failed: unknown[] = []
  const load = [0, 1].map(async at => {
    while (!isOver)
      await farm.come(at).then(
        visited => made.push(visited.sessions[0]),
        error => failed.push(error),
      )
  })
  while (made.length < 20) await new Promise(resolve => setTimeout(resolve, 10))
  const before = made.length
  farm.repositories[0]?.signal('SIGKILL')
  while (made.length < before + 60) await new Promise(resolve => setTimeout(resolve, 10))
  isOver = true
  await Promise.all(load)
  t.same(failed, [], 'no handshake fails')
  for (const session of made.slice(-20))
    t.ok(await resumedSoon(() => farm.come(0, session)), 'each resumes on a proxy')

  farm.repositories[1]?.signal('SIGKILL')
  await Promise.all(farm.repositories.map(one => one.exit))
  const { sessions: alone } = await farm.come(0)
  t.ok((await farm.come(0, alone[0])).reused, 'where it was made')
  let told = 0
  while (told === 0) {
    await farm.come(0)
    told = (await farm.status()).transport['writesNotDurable'] ?? 0
  }
  t.ok(told > 0, 'and the proxy says that nothing is durable')
})

t.test(
  'all processes stop and start: sessions resume, and what is revoked does not',
  async t => {
    const farm = await tiered(t)
    await farm.start()
    const kept = (await farm.come(0)).sessions[0]
    t.ok(await resumedSoon(() => farm.come(1, kept)))
    const revoke = () => farm.run('revoke', '--all', '--admin', `${farm.admin}`)
    t.equal(await inTheEnd(revoke, code => code === 0), 0)
    const after = (await farm.come(0)).sessions[0]
    t.ok(await resumedSoon(() => farm.come(1, after)))
    await farm.stop()
    await farm.start()
    t.ok(await resumedSoon(() => farm.come(1, after)), 'made before the stop')
    t.equal((await farm.come(0, kept)).reused, false, 'revoked before the stop')
    t.equal((await farm.come(1, kept)).reused, false)
  },
)
