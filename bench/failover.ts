import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { makeIdentities } from './certificates/identity.ts'
import { freePorts } from './harness/child.ts'
import { median, quantile } from './harness/statistics.ts'
import { handfast } from './proxying/handfast.ts'
import { Load, type PacedOutcome, startBackend } from './proxying/load.ts'
import { nothingMeasured } from './report/report.ts'

/** Requests per second. */
const pace = 1_000
/** All of them may be sent again; a POST may not. */
const methods = ['GET', 'GET', 'GET', 'PUT', 'DELETE']
/** From the start to the kill, and from then to the end, in seconds. */
const before = 2
const after = 4
/** Between two looks at what the proxy has sent where, in milliseconds. */
const look = 20

interface Death {
  readonly outcome: PacedOutcome
  /** Milliseconds from the kill until the proxy sent nothing there any more. */
  readonly used: number
  /** Requests that were sent there after the kill. */
  readonly sent: number
}

/** One of two backends is killed at once while a thousand requests come each second. */
export const failover: Benchmark = {
  name: 'failover',
  about: 'kill -9 of one of two backends at 1,000 requests a second: what clients see',
  async run(context) {
    const deaths: Death[] = []
    const rounds = context.quick ? 2 : 5
    context.progress.expect(rounds)
    for (let round = 0; round < rounds; round++) {
      context.progress.step(`death ${round + 1}`)
      deaths.push(await die(round, context))
    }
    const failures = deaths.flatMap(({ outcome }) => outcome.failures)
    const used = Math.max(...deaths.map(({ used }) => used)) / 1000
    const p99 = median(deaths.map(({ outcome }) => quantile(outcome.latencies, 0.99)))
    const worst = Math.max(...deaths.map(({ outcome }) => outcome.latencies.at(-1) ?? 0))
    return {
      result: {
        ...nothingMeasured,
        name: 'failover',
        goals: [
          {
            text: 'idempotent requests that fail, of all deaths',
            limit: 0,
            value: failures.length,
            met: failures.length === 0,
          },
          {
            text: 'seconds until a dead backend is used no more, the longest',
            limit: 1,
            value: used,
            met: used <= 1,
          },
        ],
        notes: [...new Set(failures)],
      },
      tables: [
        {
          title: `${rounds} deaths of a backend at ${pace} requests per second`,
          columns: ['what', 'figure'],
          rows: [
            ['requests', String(rounds * pace * (before + after))],
            ['failed', String(failures.length)],
            ['sent to the dead one, each death', median(sentOf(deaths)).toFixed(0)],
            ['p99 ms', p99.toFixed(1)],
            ['longest ms', worst.toFixed(0)],
          ],
        },
      ],
    }
  },
}

function sentOf(deaths: readonly Death[]): number[] {
  return deaths.map(({ sent }) => sent)
}

async function die(round: number, { folder }: BenchmarkContext): Promise<Death> {
  const identities = makeIdentities('p256')
  const place = join(folder, `failover-${round}`)
  await mkdir(place)
  const [admin] = (await freePorts(1)) as [number]
  const [one, two] = [await startBackend(), await startBackend()]
  const load = new Load(identities.ca)
  const proxy = await handfast('handfast', '', {
    top: ['admin:', `  listen: 127.0.0.1:${admin}`],
  }).start({ identities, backend: one.port, others: [two.port], folder: place })
  try {
    const running = load.paced({
      ...{ pace, methods, port: proxy.portFor('h1'), path: '/small' },
      seconds: before + after,
    })
    await sleep(1000 * before)
    const sentBefore = await sentTo(admin, one.port)
    one.kill()
    const killed = performance.now()
    let sent = sentBefore
    let used = 0
    // What tries it from time to time whether it is back comes after a pause.
    while (performance.now() - killed - used < 500) {
      const now = await sentTo(admin, one.port)
      if (now !== sent) used = performance.now() - killed
      sent = now
      await sleep(look)
    }
    return { outcome: await running, used, sent: sent - sentBefore }
  } finally {
    await proxy.close()
    await load.close()
    await Promise.all([one.close(), two.close()])
  }
}

/** Requests that the proxy has sent to a backend since start. */
async function sentTo(admin: number, backend: number): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${admin}/metrics`)
  const line = new RegExp(
    `^handfast_backend_requests_total\\{.*:${backend}".*\\} (\\d+)$`,
    'm',
  ).exec(await response.text())
  return Number(line?.[1] ?? Number.NaN)
}
