import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { makeIdentities } from './certificates/identity.ts'
import { median, medianInterval, quantile } from './harness/statistics.ts'
import { handfast } from './proxying/handfast.ts'
import { Load, startBackend } from './proxying/load.ts'
import { nothingMeasured } from './report/report.ts'

/** Requests that the backend has at a time. Each takes it 10 to 30 ms. */
const slots = 10
/** Clients of low priority, each with a request under way all the time: four for each slot. */
const crowd = 40
/** Requests of high priority per second, and for how many seconds. */
const pace = 40
const seconds = 4
/** As many as the backend does of low ones in that time, and more. */
const crowdRequests = ((slots * 1000) / 20) * (seconds + 2)

interface Round {
  /** Milliseconds. */
  readonly alone: number
  readonly crowded: number
  /** Requests of low priority per second meanwhile. */
  readonly low: number
  readonly failures: number
}

/** What requests of high priority wait for while those of low priority have all of a backend. */
export const queue: Benchmark = {
  name: 'queue',
  about: 'high priority while low priority has filled the backend, beside an empty one',
  async run(context) {
    const rounds = await measure(context)
    const ratios = rounds.map(({ alone, crowded }) => crowded / alone)
    const { low, high } = medianInterval(ratios)
    const least = Math.min(...rounds.map(({ low }) => low))
    const failures = rounds.reduce((sum, one) => sum + one.failures, 0)
    return {
      result: {
        ...nothingMeasured,
        name: 'queue',
        goals: [
          {
            text: 'p99 of high priority in a crowd of low, to its p99 without',
            limit: 2,
            value: median(ratios),
            met: high <= 2 ? true : low > 2 ? false : undefined,
          },
          {
            text: 'milliseconds between two of low priority meanwhile, the longest round',
            limit: 100,
            value: 1000 / least,
            met: least >= 10,
          },
        ],
        failures: failures === 0 ? [] : [`${failures} requests failed`],
      },
      tables: [
        {
          title: `High priority, ${rounds.length} rounds, ${crowd} clients of low priority`,
          columns: ['what', 'median'],
          rows: [
            ['p99 alone, ms', median(rounds.map(({ alone }) => alone)).toFixed(1)],
            ['p99 in the crowd, ms', median(rounds.map(one => one.crowded)).toFixed(1)],
            ['low priority per s', median(rounds.map(one => one.low)).toFixed(0)],
          ],
        },
      ],
    }
  },
}

async function measure({ quick, folder, progress }: BenchmarkContext): Promise<Round[]> {
  const identities = makeIdentities('p256')
  const place = join(folder, 'queue')
  await mkdir(place)
  const backend = await startBackend()
  const [few, many] = [new Load(identities.ca), new Load(identities.ca)]
  const proxy = await handfast('handfast', '', {
    // One network has it all: what is measured is who comes first.
    top: ['limits: { clientShare: 100, queueTimeout: 10s }'],
    backend: url => `{ url: '${url}', maxRequests: ${slots} }`,
    site: [
      'routes:',
      '  - { path: /high, queue: { priority: high } }',
      '  - { path: /low, queue: { priority: low } }',
    ],
  }).start({ identities, backend: backend.port, folder: place })
  const port = proxy.portFor('h1')
  const high = { port, pace, seconds, path: '/high', methods: ['GET'] }
  try {
    const rounds: Round[] = []
    const wanted = quick ? 3 : 9
    progress.expect(wanted + 1)
    // The first round warms up, and counts for nothing.
    for (let round = 0; round <= wanted; round++) {
      progress.step(`round ${round}`)
      const alone = await few.paced(high)
      const crowding = many.run({
        ...({ kind: 'h1', body: 'low', port, concurrency: crowd } as const),
        requests: crowdRequests,
      })
      const crowded = await few.paced(high)
      const crowdOutcome = await crowding
      if (round === 0) continue
      rounds.push({
        alone: quantile(alone.latencies, 0.99),
        crowded: quantile(crowded.latencies, 0.99),
        low: (crowdOutcome.done * 1000) / crowdOutcome.elapsed,
        failures: alone.failures.length + crowded.failures.length + crowdOutcome.failed,
      })
    }
    return rounds
  } finally {
    await proxy.close()
    await Promise.all([few.close(), many.close(), backend.close()])
  }
}
