import { parseArgs } from 'node:util'
import { BenchmarkFarm, type Run } from './communicator/farm.ts'
import type { Mode } from './communicator/order.ts'

/**
 * One writer, many receivers, each a process: records of 200 bytes over the members' links and
 * by datagrams, against one acknowledged TCP message per record and peer in the same run. Packets and bytes are counted
 * by the loopback interface, so run it where nothing else uses that:
 *
 *     unshare -Urn sh -c 'ip link set lo up && node dist/bench/communicator.js'
 */
const modes = {
  tcp: mode('tcp, one message per record', 'tcp', 'all', 'all'),
  links: mode('links, two ackers', 'stream', 'repositories', 'repositories'),
  none: mode('multicast, negative acks', 'multicast', 'none', 'local'),
  two: mode('multicast, two ackers', 'multicast', 'repositories', 'repositories'),
  all: mode('multicast, all acknowledge', 'multicast', 'all', 'all'),
  unicast: mode('unicast, two ackers', 'unicast', 'repositories', 'repositories'),
}

const { values } = parseArgs({
  options: {
    receivers: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '4' },
    only: { type: 'string' },
  },
})
const duration = Number(values.seconds) * 1000
const receivers = Number(values.receivers)
const wanted = (name: string) => values.only === undefined || values.only === name

/** So many receivers are what the goals are set for. */
const judged = 8

if (wanted('rate')) {
  print(`${receivers} receivers, 3000 records/s`)
  const runs = new Map<Mode, Run>()
  for (const each of Object.values(modes)) runs.set(each, await show(each, 3_000, 5_000))
  const [none, two, all] = [modes.none, modes.two, modes.all].map(each => runs.get(each))
  judge('packets per record, negative acknowledgement', none?.packetsPerRecord, 0.3)
  judge('packets per record, two ackers', two?.packetsPerRecord, 0.8)
  judge('packets per record, all acknowledge', all?.packetsPerRecord, 2.2)
  judge('bytes per record, two ackers', two?.bytesPerRecord, 280)
  judge('ms until applied, median, two ackers', two?.appliedP50, 0.6)
  judge('ms until acknowledged, median, two ackers', two?.answeredP50, 1)
}
if (wanted('saturated')) {
  print(`${receivers} receivers, as fast as it goes`)
  const tcp = await show(modes.tcp, 0, 64)
  await show(modes.links, 0, 2_000)
  const two = await show(modes.two, 0, 2_000)
  await show(modes.all, 0, 2_000)
  await show(modes.none, 0, Infinity)
  const part = tcp.recordsPerSecond / two.recordsPerSecond
  judge('records per second of TCP, to those of two ackers', part, 1 / 3)
  judge('CPU us per record at the writer, two ackers', two.cpuWriter, 7)
  judge('CPU us per record at a receiver, two ackers', two.cpuReceiver, 5)
}
if (wanted('seed')) {
  print('packets per record, one record at a time, without batching: 2N, 1+N, 1+n')
  for (const n of [2, 4, 8]) {
    for (const [name, { kind, acks, level }] of [
      ['2N', { kind: 'unicast', acks: 'all', level: 'all' }],
      ['1+N', { kind: 'multicast', acks: 'all', level: 'all' }],
      ['1+n, n=2', { kind: 'multicast', acks: 'repositories', level: 'repositories' }],
    ] as const) {
      const one = { name: `N=${n} ${name}`, kind, acks, level, batched: false }
      const run = await measure(one, n, 0, 1)
      print(
        `  ${one.name}: ${run.datagramsPerRecord.toFixed(2)}, ` +
          `with heartbeats on the wire ${run.packetsPerRecord.toFixed(2)}`,
      )
    }
  }
}

function judge(text: string, value: number | undefined, limit: number): void {
  if (value === undefined) return
  const word = value <= limit ? 'met' : 'missed'
  if (receivers === judged)
    print(`goal: ${text}: ${value.toFixed(3)}, limit ${limit.toFixed(3)}: ${word}`)
  else print(`no goal for ${receivers} receivers: ${text}`)
}

async function show(each: Mode, rate: number, outstanding: number): Promise<Run> {
  const run = await measure(each, receivers, rate, outstanding)
  print(
    [
      `  ${run.mode}: ${Math.round(run.recordsPerSecond)} records/s`,
      `packets ${run.packetsPerRecord.toFixed(2)}`,
      `bytes ${Math.round(run.bytesPerRecord)}`,
      `CPU us ${run.cpuWriter.toFixed(1)} / ${run.cpuReceiver.toFixed(1)}`,
      `applied ms ${run.appliedP50.toFixed(2)} p99 ${run.appliedP99.toFixed(1)}`,
      `answered ms ${run.answeredP50.toFixed(2)} p99 ${run.answeredP99.toFixed(1)}`,
      `drops ${run.socketDrops}`,
      `missing ${run.missing} after ${Math.round(run.agreedAfter)} ms`,
      `NACKs ${run.nacks}`,
    ].join(', '),
  )
  return run
}

async function measure(
  each: Mode,
  size: number,
  rate: number,
  outstanding: number,
): Promise<Run> {
  const farm = new BenchmarkFarm(each)
  try {
    await farm.start(size)
    await farm.measure(rate, outstanding, duration / 4)
    return await farm.measure(rate, outstanding, duration)
  } finally {
    await farm.stop()
  }
}

function mode(
  name: string,
  kind: Mode['kind'],
  acks: Mode['acks'],
  level: Mode['level'],
): Mode {
  return { name, kind, acks, level, batched: true }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
