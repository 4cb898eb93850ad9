import { createSecureContext, type Server } from 'node:tls'
import t from 'tap'
import { seededRandom, testSeed } from '../../fixtures/random.ts'
import {
  type SealedServer,
  type SealedWorldOptions,
  sealedServers,
} from '../../fixtures/resumption/sealed-world.ts'
import { only, resume, told } from '../../fixtures/resumption/world.ts'
import { visit } from '../../fixtures/tls/client.ts'
import { certificateFor } from '../../fixtures/tls/servers.ts'

const seed = testSeed()
const random = seededRandom(seed)
const length = 60
const pair = await certificateFor('localhost')
const slow = createSecureContext(pair)
const ann = await certificateFor('ann')

/** Of which name, and with what, a chain of clients comes. */
const kinds: {
  readonly words: string
  readonly world: SealedWorldOptions
  readonly client: object
  readonly terms?: object
}[] = [
  { words: 'plain', world: {}, client: {} },
  {
    words: 'a name with a context of its own',
    world: { prepare: server => server.addContext('b.test', pair) },
    client: { servername: 'b.test' },
  },
  {
    words: 'an asynchronous SNICallback',
    world: { server: { SNICallback: later } },
    client: { servername: 'c.test' },
  },
  {
    words: 'a client certificate',
    world: {
      server: { requestCert: true, ca: ann.cert },
      attach: { resumption: 'sealed' },
    },
    client: ann,
    terms: { clientAuthorized: true, authorized: true },
  },
  {
    words: 'a second hello',
    world: { server: { ecdhCurve: 'P-384' } },
    client: { ecdhCurve: 'X25519:P-384' },
  },
]

for (const { words, world, client, terms = {} } of kinds) {
  t.test(`single-use tickets over random members: ${words}`, async t => {
    t.comment(`SEED=${seed}`)
    const servers = await sealedServers(t, 3, world)
    let last = await visit({ port: any(servers), ...client })
    const first = told(last)
    t.match(first, { resumed: false, cause: 'none-offered', lineage: /^[0-9a-f]{18}$/ })
    for (let n = 0; n < length; n += 1) {
      last = await resume(any(servers), last.sessions.at(-1), client)
      const { lineage, originalAt } = first
      const right = { resumed: 'ticket', lineage, originalAt, ...terms }
      t.match(told(last), right, `${n}`)
      t.equal(last.sessions.length, 1, 'each brings another')
    }
    for (const { cache } of servers) {
      t.equal(cache.scan(undefined, 10).records.length, 0, 'and nothing is stored')
    }
  })
}

t.test('the second of two tickets is as good as the first', async t => {
  const servers = await sealedServers(t, 2)
  const first = await visit({ port: any(servers) })
  t.equal(first.sessions.length, 2)
  for (const session of first.sessions) {
    const { lineage } = told(first)
    t.match(told(await resume(any(servers), session)), { resumed: 'ticket', lineage })
  }
})

t.test('TLS 1.2 has session IDs on the same server', async t => {
  const [a] = (await sealedServers(t, 1)) as [SealedServer]
  const first = await visit({ port: a.port, ...only('TLSv1.2') })
  const again = await resume(a.port, first.sessions[0], only('TLSv1.2'))
  t.match(told(again), { resumed: 'local', lineage: /^[0-9a-f]{64}$/ })
})

function any(servers: readonly SealedServer[]): number {
  return servers[Math.floor(random() * servers.length)]?.port ?? 0
}

function later(
  name: string,
  done: (error: Error | null, context?: Parameters<Server['addContext']>[1]) => void,
): void {
  setTimeout(() => done(null, name === 'c.test' ? slow : undefined), 2)
}
