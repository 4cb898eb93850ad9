import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type TopologyName, topologyOf } from '../lib/cache/topology.ts'
import { linkSettings } from '../lib/farm/settings.ts'
import { tables } from '../lib/record/key.ts'
import { CalmFarm } from '../test/fixtures/simulator/calm-farm.ts'
import type { Benchmark, BenchmarkContext } from './benchmark.ts'
import { type Goal, type Measurement, nothingMeasured } from './report/report.ts'

/** Handshakes of each host whose session is stored, a second of virtual time. */
const rate = 200
/** Hosts of the topology `tiered` that are repositories. */
const repositories = 3
/** Flat: the largest farm costs at most so many times the smallest, at the same rate per host. */
const flat = 1.25
/** Virtual ms in which all that was written has been acknowledged. */
const rest = 1_200

interface Row {
  readonly hosts: number
  readonly topology: TopologyName
  /** Of all hosts, for each stored session: us, messages and their bytes. */
  readonly cpu: number
  readonly packets: number
  readonly bytes: number
  /** Hosts that hold it. */
  readonly copies: number
  /** Questions until it is found by a host that does not. */
  readonly asks: number
  /** Virtual ms until every host finds it, the longest of some. */
  readonly everywhere: number
  /** KiB of a host, before there are sessions. */
  readonly memory: number
}

/**
 * Farms of up to 300 hosts in one process and in virtual time. What runs is what runs in a member:
 * engine, placement, cache. Sockets and TLS are not there: what they cost follows from the packets.
 */
export const scale: Benchmark = {
  name: 'scale',
  about: 'what a session costs all hosts together in farms of 10 to 300, in virtual time',
  async run(context) {
    const sizes = context.quick ? [10, 50, 100] : [10, 50, 100, 300]
    const rows: Row[] = []
    // The first farm is for the compiler.
    measure(10, 'auto', 2_000)
    for (const hosts of sizes) rows.push(show(hosts, 'auto', context))
    const shared = [...rows]
    for (const hosts of [10, 50]) rows.push(show(hosts, 'replicated', context))
    const tiered = sizes.map(hosts => show(hosts, 'tiered', context))
    rows.push(...tiered)
    const grows = (figure: (row: Row) => number, of: readonly Row[] = shared) => {
      const figures = of.map(figure)
      return Math.max(...figures) / (figures[0] ?? 1)
    }
    const goals = [
      goal(
        'CPU of a stored session, largest farm to 10 hosts',
        grows(row => row.cpu),
      ),
      goal(
        'packets of a stored session, likewise',
        grows(row => row.packets),
      ),
      {
        text: 'packets at most: one and its acknowledgement for each copy',
        limit: 4,
        value: Math.max(...shared.map(row => row.packets)),
        met: shared.every(row => row.packets <= 4),
      },
      goal(
        'hosts that hold it, likewise',
        grows(row => row.copies),
      ),
      goal(
        'questions to find it, likewise',
        grows(row => row.asks),
      ),
      goal(
        `packets of a stored session with ${repositories} repositories, likewise`,
        grows(row => row.packets, tiered),
      ),
    ]
    return {
      result: {
        ...nothingMeasured,
        name: 'scale',
        measurements: rows.map(measurementOf),
        goals,
        notes: [
          `${rate} stored sessions a second and host; CPU is that of the state machines and ` +
            'tables of all hosts; a sealed ticket writes no record, in a farm of any size',
        ],
      },
      tables: [
        {
          title: 'A stored session (TLS 1.2, or stateful 1.3), all hosts together',
          columns: [
            'hosts',
            'topology',
            'CPU us',
            'packets',
            'bytes',
            'copies',
            'asks',
            'everywhere ms',
            'KiB a host',
          ],
          rows: rows.map(row => [
            `${row.hosts}`,
            row.topology,
            row.cpu.toFixed(1),
            row.packets.toFixed(2),
            row.bytes.toFixed(0),
            row.copies.toFixed(2),
            row.asks.toFixed(2),
            row.everywhere.toFixed(1),
            row.memory.toFixed(0),
          ]),
        },
      ],
    }
  },
}

function measurementOf({ hosts, topology, ...figures }: Row): Measurement {
  return {
    scenario: topology,
    system: 'simulated',
    parameters: { hosts },
    measures: Object.fromEntries(
      Object.entries(figures).map(([name, value]) => [
        name,
        { median: value, q1: value, q3: value, rounds: 1, unit: units[name] ?? '' },
      ]),
    ),
  }
}

const units: { readonly [figure: string]: string } = {
  cpu: 'us',
  bytes: 'bytes',
  everywhere: 'ms',
  revoked: 'ms',
  memory: 'KiB',
}

function show(hosts: number, topology: TopologyName, context: BenchmarkContext): Row {
  context.progress.show(`${hosts} hosts, ${topology}`)
  const records = topology === 'replicated' ? 600 : 6_000
  return measure(hosts, topology, context.quick ? records / 2 : records)
}

function measure(hosts: number, name: TopologyName, records: number): Row {
  const before = heap()
  const topology = topologyOf({ name, copies: 2, asks: 'sequence', seed: 1 })
  const first = name === 'tiered' ? repositories : 0
  const proxies = hosts - first
  const farm = new CalmFarm(hosts, linkSettings, {
    datagrams: false,
    topology,
    repositories: first,
  })
  const memory = (heap() - before) / hosts / 1024
  const span = (1_000 * records) / (rate * proxies) + rest
  const idle = cpuOf(() => farm.run(span))
  const { messages, bytes } = farm.network
  const busy = cpuOf(() => {
    for (let i = 0; i < records; i++) {
      farm.write(
        farm.at(first + (i % proxies)),
        `session ${i} of thirty-two bytes`,
        'one',
      )
      if (i % proxies === proxies - 1) farm.run(1_000 / rate)
    }
    farm.run(rest)
  })
  const held = farm.members.reduce((sum, { table }) => sum + table.stats().records, 0)
  return {
    hosts,
    topology: name,
    cpu: (busy - idle) / records,
    packets: (farm.network.messages - messages) / records,
    bytes: (farm.network.bytes - bytes) / records,
    copies: held / records,
    asks: asksOf(farm, Math.min(records, 1_000)),
    everywhere: everywhereOf(farm),
    memory,
  }
}

/** Questions of a host that lacks a session, one after the other. */
function asksOf(farm: CalmFarm, samples: number): number {
  let asks = 0
  let asked = 0
  for (let i = 0; i < samples; i++) {
    const key = Buffer.from(`session ${i} of thirty-two bytes`)
    const asker = farm.at((i * 7 + 3) % farm.members.length)
    if (asker.cache.getLocal(tables.session, key) !== undefined) continue
    const owners = asker.engine.owners(tables.session, key, farm.agenda.now)
    const ids = owners?.ids ?? []
    const at = ids.findIndex(id =>
      farm.members.some(
        each => each.id === id && each.cache.getLocal(tables.session, key) !== undefined,
      ),
    )
    asked += 1
    asks += at < 0 ? ids.length : at + 1
  }
  return asked === 0 ? 0 : asks / asked
}

function everywhereOf(farm: CalmFarm): number {
  let longest = 0
  for (let i = 0; i < 10; i++) {
    const key = `late ${i}`
    const from = farm.agenda.now
    farm.write(farm.at(i % farm.members.length), key, 'one')
    const isFound = () =>
      farm.members.every(member => member.finds(tables.session, Buffer.from(key)))
    while (!isFound() && farm.agenda.now < from + 1_000) farm.run(0.1)
    longest = Math.max(longest, farm.agenda.now - from)
  }
  return longest
}

/** Microseconds of this process. */
function cpuOf(work: () => void): number {
  const from = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(from)
  return user + system
}

function heap(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function goal(text: string, value: number): Goal {
  return { text, limit: flat, value, met: value <= flat }
}
