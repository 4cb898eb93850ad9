import { systemClock } from '../../lib/clock.ts'
import { LinkChannel } from '../../lib/farm/channel/link-channel.ts'
import { EngineTransport } from '../../lib/farm/engine-transport.ts'
import type { Replica } from '../../lib/farm/transport.ts'
import { silentLog } from '../../lib/log.ts'
import { HybridClock } from '../../lib/record/hybrid-clock.ts'
import { tables } from '../../lib/record/key.ts'
import type { CacheRecord } from '../../lib/record/record.ts'
import { compareVersions, type Version } from '../../lib/record/version.ts'
import type { Mode, Order, Report } from './order.ts'
import { listenPlainTcp, PlainTcpWriter } from './plain-tcp.ts'
import { RelayChannel } from './relay-channel.ts'

/** One process of the benchmark: the writer `w`, or a receiver. */
const valueLength = 200 - 22 - 16
const sampleEvery = 7
/** The smallest table that does last-write-wins, for the communicator is measured, not it. */
const table = new Map<string, { version: Version; value: Buffer }>()
const versions = new HybridClock(systemClock, process.pid & 0xffff)
let records = 0
let latency: number[] = []
let cpu = process.cpuUsage()
let mode: Mode | undefined
let transport: EngineTransport | undefined
let channel: RelayChannel | undefined
let tcp: PlainTcpWriter | undefined

const replica: Replica = {
  apply,
  read: () => undefined,
  scan: () => ({ records: [], next: undefined }),
}

process.on('message', (order: Order) => void obey(order))

async function obey(order: Order): Promise<void> {
  switch (order.order) {
    case 'start':
      mode = order.mode
      await start(order)
      break
    case 'up':
      channel?.up(order.id)
      break
    case 'down':
      channel?.down(order.id)
      break
    case 'relay':
      channel?.received(order.from, order.message)
      break
    case 'write':
      report(await write(order.rate, order.outstanding, order.duration))
      break
    case 'count':
      report({ report: 'count', records })
      break
    case 'figures':
      report({ report: 'figures', figures: figures() })
      break
    case 'stop':
      await transport?.close()
      tcp?.close()
      process.exit()
  }
}

async function start(order: Order & { order: 'start' }): Promise<void> {
  const writer = order.id === 'w'
  if (order.mode.kind === 'tcp') {
    if (!writer) {
      report({ report: 'ready', port: await listenPlainTcp(apply) })
      return
    }
    tcp = new PlainTcpWriter()
    await tcp.connect(order.ports)
    report({ report: 'ready', port: 0 })
    return
  }
  const links = order.mode.kind === 'stream' ? linkChannel(order) : undefined
  if (links === undefined) channel = new RelayChannel(order.others, report)
  transport = new EngineTransport({
    replica,
    clock: systemClock,
    log: silentLog,
    farmName: 'benchmark',
    secret: order.secret,
    memberId: order.id,
    repository: order.repository,
    channel: links ?? channel ?? new RelayChannel([], report),
    transport: order.mode.kind,
    udp: { host: '127.0.0.1', interface: '127.0.0.1', groupPort: order.groupPort },
    settings: {
      acks: order.mode.acks,
      antiEntropy: 1e9,
      ...(order.mode.batched ? {} : { recordsPerDatagram: 1, linger: 0 }),
    },
  })
  await transport.start()
  report({ report: 'ready', port: links?.listening?.port ?? 0 })
}

/** Their own TLS links, where everything goes over those. */
function linkChannel({ id, secret, ports }: Order & { order: 'start' }): LinkChannel {
  return new LinkChannel(
    {
      replica,
      clock: systemClock,
      log: silentLog,
      farmName: 'benchmark',
      secret,
      listen: { host: '127.0.0.1', port: 0 },
      members: ports.map(port => `127.0.0.1:${port}`),
      memberId: id,
    },
    'stream',
  )
}

function apply(record: CacheRecord): boolean {
  const key = record.key.toString('latin1')
  const old = table.get(key)
  if (old !== undefined && compareVersions(old.version, record.version) >= 0) return false
  table.set(key, { version: record.version, value: Buffer.from(record.value) })
  records += 1
  if (records % sampleEvery === 0)
    latency.push(Number(process.hrtime.bigint() - record.value.readBigUInt64BE(0)) / 1e6)
  return true
}

function nextRecord(): CacheRecord {
  records += 1
  const key = Buffer.alloc(16)
  key.writeUInt32BE(records % 100_000, 0)
  const value = Buffer.alloc(valueLength)
  value.writeBigUInt64BE(process.hrtime.bigint(), 0)
  const expiresAt = Date.now() + 3_600_000
  const version = versions.tick()
  return { table: tables.session, key, value, version, expiresAt, tombstone: false }
}

async function write(rate: number, limit: number, duration: number): Promise<Report> {
  const begin = performance.now()
  const end = begin + duration
  let outstanding = 0
  let written = 0
  const send = () => {
    const at = performance.now()
    const sample = written % sampleEvery === 0
    outstanding += 1
    written += 1
    const done = publish(nextRecord())
    void done.then(() => {
      outstanding -= 1
      if (sample) latency.push(performance.now() - at)
    })
  }
  const level = mode?.level
  while (performance.now() < end) {
    const due = rate === 0 ? Infinity : ((performance.now() - begin) * rate) / 1000
    for (let i = 0; i < 64 && outstanding < limit && written < due; i++) send()
    // Nobody acknowledges: the queue says when to go on.
    while (level === 'local' && (transport?.stats()['recordsQueued'] ?? 0) > 1_000)
      await new Promise(resolve => setImmediate(resolve))
    await new Promise(resolve =>
      rate === 0 ? setImmediate(resolve) : setTimeout(resolve, 1),
    )
  }
  const ms = performance.now() - begin
  while (outstanding > 0) await new Promise(resolve => setTimeout(resolve, 1))
  return { report: 'written', records: written, ms }
}

function publish(record: CacheRecord): Promise<boolean> {
  if (tcp !== undefined) return tcp.publish(record)
  return (
    transport?.publish(record, mode?.level ?? 'local', 5_000) ?? Promise.resolve(false)
  )
}

function figures(): (Report & { report: 'figures' })['figures'] {
  const used = process.cpuUsage(cpu)
  cpu = process.cpuUsage()
  const answer = {
    cpu: used.user + used.system,
    records,
    latency,
    stats: { ...transport?.stats() },
  }
  latency = []
  return answer
}

function report(message: Report): void {
  process.send?.(message)
}
