import t from 'tap'
import { compareFaults, failedPercent } from '../../fixtures/faults/compare.ts'
import { type Fault, faults } from '../../fixtures/faults/faulty-backend.ts'
import type { Rival } from '../../fixtures/faults/rivals.ts'
import { startProxy } from '../../fixtures/proxy/servers.ts'

/** Of GET, which may be sent again: requests that fail, in a hundred, at most. */
const mayFail: { readonly [fault in Fault]: number } = {
  closes: 0,
  hangs: 0,
  // A tenth of all is for that URL, and half of them come to that backend.
  'answers 500': 30,
  slow: 0,
  'closes on reuse': 0,
  garbage: 0,
  'dies midway': 0,
}

/** The same in this process, which is sooner there. */
const handfast: Rival = {
  name: 'handfast',
  missing: () => undefined,
  async start(_identities, backends) {
    const { port, proxy } = await startProxy(t, {
      backends: backends.map(backend => `http://127.0.0.1:${backend}`),
      limits: { backendHeadersTimeout: 1_500, backendBodyTimeout: 1_500 },
    })
    return { port, close: () => proxy.close() }
  },
}

t.test('one of two backends fails, in seven ways', async t => {
  const { rows } = await compareFaults({
    folder: t.testdir(),
    faults,
    rivals: [handfast],
    rate: 30,
    before: 300,
    after: 900,
    times: false,
  })
  for (const { fault, seen } of rows) {
    t.ok(failedPercent(seen, 'GET') <= mayFail[fault], `${fault}: GET`)
    t.comment(`${fault}: ${[...seen.reasons].join(' ')}`)
  }
  t.equal(rows.length, faults.length)
})
