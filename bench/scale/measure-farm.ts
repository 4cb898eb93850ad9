import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { BenchmarkContext } from '../benchmark.ts'
import { seededRandom } from '../harness/random.ts'
import { type Cost, type Cpu, compareCpu, costOf, type Idle, idleOf } from './cost.ts'
import { type FarmPlan, nameOf, ScaledFarm } from './scaled-farm.ts'
import { afterDeath, type Service, type Spread, serve, spreadOf } from './service.ts'

/** Sessions that each proxy stores, a second of virtual time, where farms are compared. */
export const perProxy = 200
/** Share of new sessions that a farm stores whose TLS 1.3 is sealed: those of TLS 1.2. */
export const tls12 = 0.1
/** New sessions a second of a whole farm. */
const rates = [100, 1_000, 5_000, 20_000]
/** Stored sessions of a load, at least. */
const fewest = 300

export interface FarmFigures {
  readonly plan: FarmPlan
  readonly cost: Cost
  /** At the same rate of each proxy, beside the other farms that it is compared with. */
  readonly cpu: Cpu
  /** KiB of a host, before there are sessions. */
  readonly memory: number
  readonly loads: readonly LoadFigures[]
  /** Of the sessions that a dead host held: share that is found, and questions for each. */
  readonly death: { readonly found: number; readonly asks: number }
}

export interface LoadFigures {
  readonly rate: number
  /** Share of the new sessions that is stored. */
  readonly stored: number
  readonly cost: Cost
  readonly service: Service
  readonly spread: Spread
}

/** Farms that are compared, the smallest first. */
export function measureFarms(
  plans: readonly FarmPlan[],
  context: BenchmarkContext,
): FarmFigures[] {
  const { quick, progress } = context
  const farms = plans.map(plan => {
    progress.show(`${plan.proxies} proxies, ${nameOf(plan)}`)
    const before = heap()
    const farm = new ScaledFarm(plan)
    const memory = (heap() - before) / (plan.proxies + plan.repositories) / 1_024
    return { farm, memory, idle: idleOf(farm) }
  })
  const [first] = plans
  const isCostly = first?.topology === 'replicated'
  const cpus = compareCpu(farms, {
    perProxy,
    rounds: quick ? 5 : 9,
    slice: isCostly ? 100 : 1_000,
  })
  return farms.map(({ farm, memory, idle }, at) => ({
    ...measureFarm(farm, idle, context),
    memory,
    cpu: cpus[at] as Cpu,
  }))
}

function measureFarm(
  farm: ScaledFarm,
  idle: Idle,
  { quick, seed, progress }: BenchmarkContext,
): Omit<FarmFigures, 'memory' | 'cpu'> {
  const { plan } = farm
  const { topology, proxies } = plan
  const random = seededRandom(seed)
  const seconds = quick ? 0.2 : topology === 'replicated' ? 0.1 : 1
  // Batches of copies wait up to half a second: a load is longer.
  const sessionsAt = (stored: number) => Math.max(fewest, Math.ceil(seconds * stored))
  const rate = perProxy * proxies
  const cost = costOf(farm, idle, { rate, sessions: sessionsAt(rate) })
  const loads: LoadFigures[] = []
  const asked = quick ? [100, 20_000] : rates
  for (const rate of topology === 'replicated' ? [] : asked) {
    for (const stored of [1, tls12]) {
      progress.show(`${proxies} proxies, ${nameOf(plan)}, ${rate} new sessions a second`)
      const sessions = sessionsAt(rate * stored)
      const load = { rate, stored, sessions: sessions / stored }
      loads.push({
        rate,
        stored,
        cost: costOf(farm, idle, { rate: rate * stored, sessions }),
        service: serve(farm, load, random),
        spread: spreadOf(farm, { ...load, sessions: Math.min(load.sessions, rate / 5) }),
      })
    }
  }
  return { plan, cost, loads, death: afterDeath(farm, 500, random) }
}

function heap(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // What waited for its last use is garbage to the second alone.
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
