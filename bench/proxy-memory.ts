import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { makeIdentities } from './certificates/identity.ts'
import { median, pairedRatio } from './harness/statistics.ts'
import type { TextTable } from './harness/text-table.ts'
import { type HoldJob, Load, startBackend } from './proxying/load.ts'
import { proxySystems, type RunningProxySystem } from './proxying/proxies.ts'
import { type Goal, nothingMeasured } from './report/report.ts'

const mebibyte = 1024 ** 2
/** Proxies that are looked at; the second is what the first is held to. */
const names = ['handfast', 'undici'] as const
/** For what is freed to be given back, in milliseconds. */
const settling = 3_000

interface Running {
  readonly name: string
  readonly system: RunningProxySystem
}

/** One body of a GiB, and what a connection that does nothing costs. */
export const proxyMemory: Benchmark = {
  name: 'proxy-memory',
  about: 'memory of a proxy: a body of 1 GiB, idle connections and WebSockets',
  async run(context) {
    const closers: (() => Promise<void>)[] = []
    try {
      return await measure(context, closers)
    } finally {
      for (const close of closers.reverse()) await close()
    }
  },
}

async function measure(
  context: BenchmarkContext,
  closers: (() => Promise<void>)[],
): ReturnType<Benchmark['run']> {
  const { quick, folder, progress } = context
  const identities = makeIdentities('p256')
  const backend = await startBackend()
  closers.push(() => backend.close())
  const load = new Load(identities.ca)
  closers.push(() => load.close())
  const running: Running[] = []
  for (const system of proxySystems.filter(({ name }) => names.includes(name as never))) {
    const place = join(folder, `memory-${system.name}`)
    await mkdir(place, { recursive: true })
    const options = { identities, backend: backend.port, folder: place }
    const started = await system.start(options)
    closers.push(() => started.close())
    running.push({ name: system.name, system: started })
  }
  progress.show('a body of 1 GiB')
  const large = await largeBody(running, load, quick ? 2 : 5)
  const connections = Math.min(quick ? 1_000 : 10_000, mostConnections())
  const [{ system }] = running as [Running]
  progress.show(`${connections} idle connections`)
  const tls = await idle(system, load, { hold: 'tls', port: 0, connections })
  progress.show(`${connections} idle WebSockets`)
  const webSocket = await idle(system, load, { hold: 'websocket', port: 0, connections })
  const goals: Goal[] = [
    {
      text: '1 GiB body: throughput to that of undici',
      limit: 0.9,
      value: large.ratio,
      met: large.low >= 0.9 ? true : large.high < 0.9 ? false : undefined,
    },
    goal('1 GiB body: growth of memory, MiB', 64, large.growth / mebibyte),
    goal('an idle TLS connection, kB', 36, tls / 1000),
    goal(
      '10,000 idle WebSockets, MiB over the base',
      450,
      (webSocket * 10_000) / mebibyte,
    ),
  ]
  const table: TextTable = {
    title: `Memory of handfast proxy, one worker, ${connections} connections`,
    columns: ['what', 'figure'],
    rows: [
      ['1 GiB through it, MiB/s', large.rate.toFixed(0)],
      ['growth meanwhile, MiB', (large.growth / mebibyte).toFixed(1)],
      ['idle TLS connection, kB', (tls / 1000).toFixed(1)],
      ['idle WebSocket, kB', (webSocket / 1000).toFixed(1)],
    ],
  }
  return {
    result: { ...nothingMeasured, name: 'proxy-memory', goals },
    tables: [table],
  }
}

/** Throughput in rounds in turn, and the most that memory has grown by while it passed. */
async function largeBody(running: readonly Running[], load: Load, rounds: number) {
  const rates = new Map<string, number[]>(running.map(({ name }) => [name, []]))
  let growth = 0
  for (let round = 0; round <= rounds; round++) {
    for (const { name, system } of running) {
      const before = system.memory() ?? Number.NaN
      let most = before
      const watch = setInterval(() => {
        most = Math.max(most, system.memory() ?? 0)
      }, 50)
      const { elapsed, failed } = await load.run({
        kind: 'h1',
        port: system.portFor('h1'),
        body: 'gib',
        concurrency: 1,
        requests: 1,
      })
      clearInterval(watch)
      if (failed > 0) throw new Error(`${name}: a body of 1 GiB did not arrive`)
      // The first round warms up.
      if (round === 0) continue
      rates.get(name)?.push((1024 / elapsed) * 1000)
      if (name === names[0]) growth = Math.max(growth, most - before)
    }
  }
  const [own = [], base = []] = names.map(name => rates.get(name))
  return { ...pairedRatio(own, base), growth, rate: median(own) }
}

/** Bytes that each of these connections takes. */
async function idle(
  system: RunningProxySystem,
  load: Load,
  job: HoldJob,
): Promise<number> {
  const port = system.portFor('h1')
  // A first time, for what is allotted once and kept.
  await load.hold({ ...job, port, connections: Math.ceil(job.connections / 10) })
  await load.release()
  await sleep(settling)
  const before = system.memory() ?? Number.NaN
  await load.hold({ ...job, port })
  await sleep(settling)
  const after = system.memory() ?? Number.NaN
  await load.release()
  return (after - before) / job.connections
}

/** A WebSocket takes two descriptors in the proxy. */
function mostConnections(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'latin1')
    const open = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.NaN)
    return Number.isNaN(open) ? Number.POSITIVE_INFINITY : Math.floor((open - 500) / 2)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

function goal(text: string, limit: number, value: number): Goal {
  return { text, limit, value, met: value <= limit }
}
