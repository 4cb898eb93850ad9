import { median } from '../harness/statistics.ts'
import type { ScaledFarm } from './scaled-farm.ts'

/** Of all hosts together, for each session that is stored. */
export interface Cost {
  readonly packets: number
  readonly bytes: number
  /** Hosts that hold it, and how many of these are proxies. */
  readonly copies: number
  readonly proxyCopies: number
}

/** Of the state machines and tables of all hosts, for each session that is stored. */
export interface Cpu {
  readonly microseconds: number
  /** How many times what the first farm took in the same round. */
  readonly toFirst: number
}

/** What a farm does when nothing is written, for each virtual ms. */
export interface Idle {
  readonly cpu: number
  readonly messages: number
  readonly bytes: number
}

/** Virtual ms in which all that was written has been acknowledged. */
export const rest = 1_200

export function idleOf(farm: ScaledFarm): Idle {
  const { network } = farm.calm
  const [messages, bytes] = [network.messages, network.bytes]
  const cpu = cpuOf(() => farm.run(rest))
  return {
    cpu: cpu / rest,
    messages: (network.messages - messages) / rest,
    bytes: (network.bytes - bytes) / rest,
  }
}

/** `rate`: sessions a second that all proxies store, in turns. */
export function costOf(
  farm: ScaledFarm,
  idle: Idle,
  { rate, sessions }: { readonly rate: number; readonly sessions: number },
): Cost {
  const { calm, proxies } = farm
  const { messages, bytes } = calm.network
  const [held, heldByProxies, from] = [heldBy(calm.members), heldBy(proxies), farm.now]
  store(farm, rate, sessions)
  farm.run(rest)
  const span = farm.now - from
  return {
    packets: (calm.network.messages - messages - idle.messages * span) / sessions,
    bytes: (calm.network.bytes - bytes - idle.bytes * span) / sessions,
    copies: (heldBy(calm.members) - held) / sessions,
    proxyCopies: (heldBy(proxies) - heldByProxies) / sessions,
  }
}

/**
 * Farms whose proxies each store so many sessions a second, in rounds of one slice of each, for
 * others use this machine, too.
 */
export function compareCpu(
  farms: readonly { readonly farm: ScaledFarm; readonly idle: Idle }[],
  { perProxy, rounds, slice }: { perProxy: number; rounds: number; slice: number },
): Cpu[] {
  const taken = farms.map((): number[] => [])
  // The first round is for what waits from one slice to the next.
  for (let round = 0; round <= rounds; round += 1) {
    for (const [at, { farm, idle }] of farms.entries()) {
      const rate = perProxy * farm.proxies.length
      const cpu = cpuOf(() => store(farm, rate, slice))
      if (round > 0) taken[at]?.push(cpu / slice - (idle.cpu * 1_000) / rate)
    }
  }
  for (const { farm } of farms) farm.run(rest)
  const first = taken[0] ?? []
  return taken.map(each => ({
    microseconds: median(each),
    toFirst: median(each.map((cpu, round) => cpu / (first[round] ?? 1))),
  }))
}

function store(farm: ScaledFarm, rate: number, sessions: number): void {
  for (let n = 0; n < sessions; n += 1) {
    farm.mint(farm.proxy(n))
    farm.run(1_000 / rate)
  }
}

function heldBy(hosts: ScaledFarm['proxies']): number {
  return hosts.reduce((sum, { table }) => sum + table.stats().records, 0)
}

/** Microseconds of this process. */
function cpuOf(work: () => void): number {
  const from = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(from)
  return user + system
}
