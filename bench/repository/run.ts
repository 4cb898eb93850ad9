import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { generateSecret } from '../../lib/farm/secret.ts'
import type { FarmOptions } from '../../lib/member/options.ts'
import { forkChild, stopChild } from '../harness/child.ts'
import { treeCpu } from '../harness/process-cpu.ts'
import { treeMemory } from '../harness/process-memory.ts'
import { quantile } from '../harness/statistics.ts'
import type { Asked, Job, Joined } from './member.ts'

/**
 * `--records N` (default 400 000), `--bytes N` (of a value, default 1024), `--seed N`: a repository
 * that is full, one that joins it, and a proxy that asks all the while. 4 000 000 records need
 * 12 GiB of memory for a minute or two.
 */
const { values } = parseArgs({
  options: {
    records: { type: 'string' },
    bytes: { type: 'string' },
    seed: { type: 'string' },
  },
})
const records = Number(values.records ?? 400_000)
const valueLength = Number(values.bytes ?? 1_024)
const seed = Number(values.seed ?? 1)

const GiB = 2 ** 30
const full = 4_000_000
/** Of the process, whatever it holds. */
const base = 0.2 * GiB
/** What it may take with all 4 M records is 4.6 GiB. */
const mostMemory = base + ((4.6 * GiB - base) * records) / full
/** Of a get while nobody joins, ms, p99: above it the machine is too busy to tell. */
const quietest = 1
/** The table's, with room for all. */
const memory = Math.max(64 * 2 ** 20, Math.ceil(records * (valueLength + 160) * 1.1))

const common: FarmOptions = {
  name: 'repository-bench',
  secret: generateSecret(),
  joinTimeout: 600_000,
  topology: 'tiered',
  sessionTimeout: 7 * 24 * 3600_000,
}
const listen = { host: '127.0.0.1', port: 0 }

const first = await start()
const { address } = await join(first, { repository: true, memory, members: [] })
const proxy = await start()
await join(proxy, { memory: 64 * 2 ** 20, members: [address ?? ''] })
const filled = await perform<number>(first, { kind: 'fill', records, valueLength })
const held = treeMemory(first.pid ?? 0) ?? 0

const quiet = await asking(
  proxy,
  () => new Promise(resolve => setTimeout(resolve, 2_000)),
)
const second = await start()
const cpuBefore = treeCpu(first.pid ?? 0) ?? 0
let joined: Joined | undefined
const during = await asking(proxy, async () => {
  const options = { repository: true, memory, members: [address ?? ''] }
  joined = await join(second, options)
})
const givenMs = (treeCpu(first.pid ?? 0) ?? 0) - cpuBefore
for (const child of [first, second, proxy]) await stopChild(child)

const megabytes = (records * valueLength) / 1e6
const seconds = (joined?.ms ?? 0) / 1_000
const cpuSeconds = Math.max(givenMs, joined?.cpuMs ?? 0) / 1_000
console.log(
  `${filled} records of ${valueLength} B: ${(held / GiB).toFixed(2)} GiB of RSS`,
)
console.log(
  `join: ${joined?.records} records in ${seconds.toFixed(1)} s by the clock, ` +
    `${(givenMs / 1_000).toFixed(1)} s of CPU to give, ` +
    `${((joined?.cpuMs ?? 0) / 1_000).toFixed(1)} s to take`,
)
console.log(`get before: ${timesText(quiet)}`)
console.log(`get during the join: ${timesText(during)}`)
goal('GiB of RSS of a repository', held / GiB, mostMemory / GiB, held <= mostMemory)
const rate = megabytes / cpuSeconds
goal('MB of values a second of CPU when one joins', rate, 100, rate >= 100)
const p99 = quantile(during.times, 0.99)
// A machine on which others run too makes everybody wait, whoever joins.
const isNoisy = p99 > 5 && quantile(quiet.times, 0.99) > quietest
goal('ms for a get while one joins, p99', p99, 5, isNoisy ? undefined : p99 <= 5)
const whole = joined?.records === filled && filled === records
if (!whole)
  console.log(`${filled} of ${records} records were there, ${joined?.records} came`)
process.exitCode = whole && during.missed + quiet.missed === 0 ? 0 : 1

async function start(): Promise<ChildProcess> {
  return forkChild(new URL('./member.ts', import.meta.url))
}

function join(child: ChildProcess, options: FarmOptions): Promise<Joined> {
  return perform<Joined>(child, {
    kind: 'join',
    options: { ...common, listen, ...options },
  })
}

async function asking(
  child: ChildProcess,
  meanwhile: () => Promise<void>,
): Promise<Asked> {
  const answer = perform<Asked>(child, { kind: 'ask', records, seed })
  await meanwhile()
  child.send({ kind: 'stop' } satisfies Job)
  return await answer
}

async function perform<Result>(child: ChildProcess, job: Job): Promise<Result> {
  child.send(job)
  const [result] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`a member ended with ${code}`)
    }),
  ])
  return result as Result
}

function timesText({ times, missed }: Asked): string {
  const [p50, p99, worst] = [0.5, 0.99, 1].map(p => quantile(times, p).toFixed(2))
  return `${times.length} of them, p50 ${p50} ms, p99 ${p99} ms, worst ${worst} ms, ${missed} missed`
}

/** `met`: undefined where it can't be told. */
function goal(
  text: string,
  value: number,
  limit: number,
  met: boolean | undefined,
): void {
  const word = met === undefined ? 'too noisy to tell' : met ? 'met' : 'missed'
  console.log(`goal: ${text}: ${value.toFixed(2)}, limit ${limit.toFixed(2)}: ${word}`)
}
