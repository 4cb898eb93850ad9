import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { BenchmarkContext } from '../benchmark.ts'
import { makeIdentities } from '../certificates/identity.ts'
import { seededRandom, shuffled } from '../harness/random.ts'
import { quantile } from '../harness/statistics.ts'
import { Load, type LoadJob, startBackend } from './load.ts'
import type { ProxySystem, RunningProxySystem } from './proxies.ts'
import type { Row, Sample } from './rows.ts'

export type ProxyJob = Omit<LoadJob, 'port'> & { readonly name: string }

/** Each proxy at each job that it can do, in rounds, in another order each time. */
export async function measureProxies(
  systems: readonly ProxySystem[],
  jobs: readonly ProxyJob[],
  rounds: number,
  { folder, seed, progress, calibration }: BenchmarkContext,
): Promise<{ rows: Row[]; skipped: string[]; failures: string[] }> {
  const identities = makeIdentities('p256')
  const random = seededRandom(seed)
  const skipped: string[] = []
  const failures: string[] = []
  const closers: (() => Promise<void>)[] = []
  const running = new Map<ProxySystem, RunningProxySystem>()
  try {
    const backend = await startBackend()
    closers.push(() => backend.close())
    const load = new Load(identities.ca)
    closers.push(() => load.close())
    for (const system of systems) {
      const missing = system.missing()
      if (missing !== undefined) {
        skipped.push(`${system.name}: ${missing}`)
        continue
      }
      progress.show(`starting ${system.name}`)
      const place = join(folder, `proxy-${system.name.replaceAll(' ', '-')}`)
      await mkdir(place, { recursive: true })
      const started = await system.start({
        identities,
        backend: backend.port,
        folder: place,
      })
      closers.push(() => started.close())
      running.set(system, started)
    }
    const cells = jobs.flatMap(job =>
      [...running]
        .filter(([{ kinds }]) => kinds.includes(job.kind))
        .map(([system, at]) => ({ job, system, at, samples: [] as Sample[] })),
    )
    progress.expect(cells.length * (rounds + 1))
    // The first round warms up, and counts for nothing.
    for (let round = 0; round <= rounds; round++) {
      calibration.take()
      for (const { job, system, at, samples } of shuffled(cells, random)) {
        progress.step(`${job.name} ${system.name}`)
        const before = at.cpu()
        const gcBefore = at.gc?.()
        const outcome = await load.run({ ...job, port: at.portFor(job.kind) })
        const after = at.cpu()
        const gcAfter = at.gc?.()
        if (outcome.failed > 0) {
          failures.push(
            `${job.name} ${system.name}: ${outcome.failed} failed: ${outcome.firstFailure}`,
          )
        }
        if (round === 0) continue
        const used =
          before === undefined || after === undefined ? undefined : after - before
        samples.push({
          cpu: used && (used * 1000) / outcome.done,
          gc:
            gcBefore === undefined || gcAfter === undefined
              ? undefined
              : used && (gcAfter - gcBefore) / used,
          rate: (outcome.done * 1000) / outcome.elapsed,
          p50: quantile(outcome.latencies, 0.5),
          p99: quantile(outcome.latencies, 0.99),
        })
      }
    }
    const rows = cells.map(({ job, system, samples }) => ({
      job: job.name,
      system: system.name,
      samples,
    }))
    return { rows, skipped, failures }
  } finally {
    for (const close of closers.reverse()) await close()
  }
}
