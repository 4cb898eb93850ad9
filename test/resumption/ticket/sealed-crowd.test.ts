import t from 'tap'
import { patience } from '../../fixtures/patience.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'
import {
  type SealedServer,
  sealedServers,
} from '../../fixtures/resumption/sealed-world.ts'
import { told } from '../../fixtures/resumption/world.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { certificateFor } from '../../fixtures/tls/servers.ts'
import { trickle } from '../../fixtures/tls/trickle.ts'

/*
 * The ticket callback of Node is told no connection. What it would take to mix two of them up is
 * many at once, whose flights come in pieces and in between each other's.
 */
const seed = testSeed()
const random = seededRandom(seed)
const crowd = 200
const visits = 4
const parts = ['ann', 'bob', 'eve'] as const
const certificates = await Promise.all(parts.map(name => certificateFor(name)))

t.test('200 at once, in pieces, a third of them breaking off', async t => {
  t.comment(`SEED=${seed}`)
  const servers = await sealedServers(t, 3, {
    server: {
      requestCert: true,
      rejectUnauthorized: false,
      ca: certificates.map(({ cert }) => cert),
    },
    attach: { resumption: 'sealed' },
    // All at once take their time where the machine has other work.
    settings: { helloTimeout: 2 * patience },
  })
  const any = () => servers[Math.floor(random() * 3)]?.port ?? 0
  const come = (client: object, breakAfter?: number) => {
    const port = any()
    const over = trickle(port, random, breakAfter)
    return visit({ port, over, ...client } as VisitOptions)
  }
  const lineages = new Set<string | undefined>()
  const wrong: unknown[] = []
  let resumed = 0
  await Promise.all(
    Array.from({ length: crowd }, async (_, n) => {
      // Every fourth has no certificate; what each has proved must stay with it.
      const client = n % 4 === 3 ? {} : (certificates[n % 4] ?? {})
      let last = await come(client)
      const { lineage, clientAuthorized } = told(last)
      lineages.add(lineage)
      if (clientAuthorized !== (n % 4 !== 3)) wrong.push([n, 'authorized', told(last)])
      for (let step = 0; step < visits; step += 1) {
        const [first] = last.sessions
        if (random() < 0.33) {
          const breaking = come({ session: first, ...client }, random() * 900)
          await breaking.catch(() => {})
        }
        last = await come({ session: last.sessions.at(-1), ...client })
        const next = told(last)
        if (next.resumed === 'ticket') resumed += 1
        if (next.lineage !== lineage || next.clientAuthorized !== clientAuthorized) {
          wrong.push([n, step, lineage, next])
        }
      }
    }),
  )
  t.same(wrong.slice(0, 3), [], 'nobody is taken for another')
  t.equal(resumed, crowd * visits, 'and all resume')
  t.equal(lineages.size, crowd)
  for (const { counters } of servers as SealedServer[]) {
    t.ok(counters.snapshot().failed > 0, 'some did break off')
  }
})
