import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { extname } from 'node:path'
import type { Figures, Mode, Order, Report } from './order.ts'

const script = new URL(`./member${extname(import.meta.url)}`, import.meta.url)

/** A receiver that has not got everything by then, ms, has lost something. */
const patience = 5_000

export interface Run {
  readonly mode: string
  readonly recordsPerSecond: number
  readonly packetsPerRecord: number
  /** The same as the members count it, without heartbeats: data and acknowledgements. */
  readonly datagramsPerRecord: number
  readonly bytesPerRecord: number
  /** Microseconds of CPU per record at the writer, and at each receiver. */
  readonly cpuWriter: number
  readonly cpuReceiver: number
  readonly appliedP50: number
  readonly appliedP99: number
  readonly answeredP50: number
  readonly answeredP99: number
  readonly socketDrops: number
  readonly missing: number
  readonly nacks: number
  /** From the last answer until every receiver had every record, ms. */
  readonly agreedAfter: number
}

/** A writer and its receivers, each a process of its own, on the loopback interface. */
export class BenchmarkFarm {
  readonly #children = new Map<string, ChildProcess>()
  readonly #mode: Mode
  readonly #secret = randomBytes(32).toString('base64url')
  readonly #groupPort = 20_000 + Math.floor(Math.random() * 20_000)
  readonly #ports: number[] = []

  constructor(mode: Mode) {
    this.#mode = mode
  }

  async start(receivers: number): Promise<void> {
    for (let i = 1; i <= receivers; i++) await this.#start(`r${i}`, i <= 2)
    await this.#start('w', false)
    // Everybody has heard from everybody when the writer's first heartbeats are over.
    await new Promise(resolve => setTimeout(resolve, 1_500))
  }

  async measure(rate: number, outstanding: number, duration: number): Promise<Run> {
    const before = await this.#allFigures()
    const network = networkCounters()
    const written = await this.#ask('w', { order: 'write', rate, outstanding, duration })
    const agreed = await this.#agree(before)
    const after = networkCounters()
    const figures = await this.#allFigures()
    if (written.report !== 'written') throw new Error('the writer did not write')
    const { records, ms } = written
    const writer = figures.get('w')
    const receivers = [...figures].filter(([id]) => id !== 'w').map(([, each]) => each)
    const came = [...figures].map(
      ([id, { records }]) => records - (before.get(id)?.records ?? 0),
    )
    const applied = receivers.flatMap(({ latency }) => latency)
    const cpu = receivers.reduce((sum, each) => sum + each.cpu, 0) / receivers.length
    const copies = this.#mode.kind === 'unicast' ? receivers.length : 1
    const grown = (name: string) =>
      [...figures].reduce(
        (sum, [id, { stats }]) =>
          sum + (stats[name] ?? 0) - (before.get(id)?.stats[name] ?? 0),
        0,
      )
    return {
      mode: this.#mode.name,
      recordsPerSecond: (records * 1000) / ms,
      packetsPerRecord: (after.packets - network.packets) / records,
      datagramsPerRecord: (grown('datagramsSent') * copies + grown('acksSent')) / records,
      bytesPerRecord: (after.bytes - network.bytes) / records,
      cpuWriter: (writer?.cpu ?? 0) / records,
      cpuReceiver: cpu / records,
      appliedP50: percentile(applied, 0.5),
      appliedP99: percentile(applied, 0.99),
      answeredP50: percentile(writer?.latency ?? [], 0.5),
      answeredP99: percentile(writer?.latency ?? [], 0.99),
      socketDrops: after.drops - network.drops,
      missing: records - Math.min(...came),
      nacks: grown('nacksSent'),
      agreedAfter: agreed,
    }
  }

  async stop(): Promise<void> {
    await Promise.all(
      [...this.#children.values()].map(
        child =>
          new Promise(resolve => {
            child.once('exit', resolve)
            child.send({ order: 'stop' } satisfies Order)
          }),
      ),
    )
  }

  async #start(id: string, repository: boolean): Promise<void> {
    const child = fork(script, { serialization: 'advanced' })
    const others = [...this.#children.keys()]
    this.#children.set(id, child)
    child.on('message', (report: Report) => {
      if (report.report === 'send')
        this.#tell(report.to, { order: 'relay', from: id, message: report.message })
    })
    const started = this.#ask(id, {
      order: 'start',
      id,
      mode: this.#mode,
      repository,
      secret: this.#secret,
      groupPort: this.#groupPort,
      others,
      ports: this.#ports,
    })
    for (const other of others) this.#tell(other, { order: 'up', id })
    const ready = await started
    if (ready.report === 'ready') this.#ports.push(ready.port)
  }

  /** Waits for what is on its way, and says how long the last receiver took, ms. */
  async #agree(before: Map<string, Figures>): Promise<number> {
    const begin = performance.now()
    const grown = async (id: string) => {
      const answer = await this.#ask(id, { order: 'count' })
      const records = answer.report === 'count' ? answer.records : 0
      return records - (before.get(id)?.records ?? 0)
    }
    const wanted = await grown('w')
    while (performance.now() - begin < patience) {
      const counts = await Promise.all([...this.#children.keys()].map(grown))
      if (Math.min(...counts) >= wanted) break
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    return performance.now() - begin
  }

  async #allFigures(): Promise<Map<string, Figures>> {
    const all = new Map<string, Figures>()
    for (const id of this.#children.keys()) {
      const answer = await this.#ask(id, { order: 'figures' })
      if (answer.report === 'figures') all.set(id, answer.figures)
    }
    return all
  }

  /** What members tell each other while they stop reaches nobody, and need not. */
  #tell(id: string, order: Order): void {
    const child = this.#children.get(id)
    if (child?.connected === true) child.send(order, () => {})
  }

  #ask(id: string, order: Order): Promise<Report> {
    const child = this.#children.get(id)
    return new Promise((resolve, reject) => {
      const answered = (report: Report) => {
        if (report.report === 'send') return
        child?.off('message', answered)
        child?.off('exit', died)
        resolve(report)
      }
      const died = () => reject(new Error(`${id} ended`))
      child?.on('message', answered)
      child?.once('exit', died)
      child?.send(order)
    })
  }
}

/** Counters of the loopback interface: exact only where nobody else uses it. */
function networkCounters(): { packets: number; bytes: number; drops: number } {
  try {
    const line = readFileSync('/proc/net/dev', 'utf8')
      .split('\n')
      .find(text => text.trim().startsWith('lo:'))
    const [bytes = 0, packets = 0] = (line?.split(':')[1] ?? '')
      .trim()
      .split(/\s+/)
      .map(Number)
    const udp = readFileSync('/proc/net/snmp', 'utf8')
      .split('\n')
      .filter(text => text.startsWith('Udp:'))
      .map(text => text.split(' '))
    const column = udp[0]?.indexOf('RcvbufErrors') ?? -1
    return { packets, bytes, drops: Number(udp[1]?.[column] ?? 0) }
  } catch {
    return { packets: Number.NaN, bytes: Number.NaN, drops: Number.NaN }
  }
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN
}
