import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { ProxyHost, port } from '../../test/fixtures/takeover/proxy-host.ts'
import { treeCpu } from '../harness/process-cpu.ts'
import { median } from '../harness/statistics.ts'
import { onNewConnections, Requests } from './requests.ts'

/** The same requests with `commit: before-response` and without it, one of each in each round. */
export interface CommitCost {
  readonly what: string
  readonly with: readonly Served[]
  readonly without: readonly Served[]
}

/** What requests took, per request. */
export interface Served {
  /** Microseconds of CPU of the host that serves. */
  readonly serving: number
  /** The same of the other one, which is told of it. */
  readonly other: number
  /** Half of them were answered within so many milliseconds. */
  readonly p50: number
}

const length = 1_000
const connections = 8

/** Asks so many requests, and says how long each took, ms. */
type Work = (address: string) => Promise<readonly number[]>

const works: { readonly [what: string]: Work } = {
  'on 8 connections': async address => {
    const clients = await Requests.open(address, port, connections)
    try {
      return await clients.ask(length, 1_500)
    } finally {
      clients.close()
    }
  },
  'each on a new connection, 8 at once': address =>
    onNewConnections(address, port, connections, length, 200),
}

/** In a network that has a switch and a backend. `step`: what is under way. */
export async function commitCosts(
  rounds: number,
  step: (text: string) => void,
): Promise<CommitCost[]> {
  const farms = [
    new Pair(1, ['commit: before-response']),
    new Pair(3, []),
  ] as const satisfies readonly Pair[]
  try {
    for (const farm of farms) await farm.start()
    const costs: CommitCost[] = []
    for (const [what, work] of Object.entries(works)) {
      const [committed, plain]: [Served[], Served[]] = [[], []]
      for (let round = -1; round < rounds; round++) {
        step(`commit, requests ${what}, ${round + 1}`)
        const order = round % 2 === 0 ? farms : farms.toReversed()
        for (const farm of order) {
          const served = await farm.serve(work)
          // The first round warms up, and counts for nothing.
          if (round >= 0) (farm === farms[0] ? committed : plain).push(served)
        }
      }
      costs.push({ what, with: committed, without: plain })
    }
    return costs
  } finally {
    await Promise.all(farms.map(farm => farm.stop()))
  }
}

/** A farm of two, of which one serves. */
class Pair {
  readonly #serving: ProxyHost
  readonly #other: ProxyHost

  constructor(index: number, options: readonly string[]) {
    const secret = randomBytes(32).toString('base64url')
    this.#serving = new ProxyHost(index, secret, options)
    this.#other = new ProxyHost(index + 1, secret, options)
  }

  async start(): Promise<void> {
    await this.#serving.start([this.#other])
    await this.#other.start([this.#serving])
    await this.#serving.knows(1)
  }

  async serve(work: Work): Promise<Served> {
    const before = [this.#serving, this.#other].map(({ pid }) => treeCpu(pid) ?? 0)
    const times = await work(this.#serving.address)
    // What the other one was told last comes to it in its own time.
    await delay(100)
    const [serving = 0, other = 0] = [this.#serving, this.#other].map(
      ({ pid }, index) =>
        (1_000 * ((treeCpu(pid) ?? 0) - (before[index] ?? 0))) / times.length,
    )
    return { serving, other, p50: median(times) }
  }

  async stop(): Promise<void> {
    await Promise.all([this.#serving.stop(), this.#other.stop()])
  }
}
