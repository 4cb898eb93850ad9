import { once } from 'node:events'
import { realpathSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { forkChild, stopChild } from './harness/child.ts'
import { describeMachine, machineLine } from './harness/machine.ts'
import { formatTable } from './harness/text-table.ts'
import type { Fill, Hits, Job } from './table/measure.ts'
import type { StoreName } from './table/stores.ts'

export interface TableBenchOptions {
  /** A fifth of the records: a first look. */
  readonly quick?: boolean
  readonly print?: (line: string) => void
}

export interface Goal {
  readonly text: string
  readonly value: number
  readonly limit: number
  readonly met: boolean
}

export interface TableBenchResult {
  readonly fills: readonly (Fill & { readonly name: string })[]
  readonly hits: readonly (Hits & { readonly name: string })[]
  readonly goals: readonly Goal[]
}

const names: readonly StoreName[] = ['handfast', 'Map', 'lru-cache']
const MiB = 2 ** 20

/**
 * The record table beside what one would otherwise use, 32-byte keys, each measurement in a
 * process of its own.
 */
export async function run(options: TableBenchOptions = {}): Promise<TableBenchResult> {
  const { quick = false, print = () => {} } = options
  const million = quick ? 200_000 : 1_000_000
  const fills: (Fill & { name: string })[] = []
  const fill = async (store: StoreName, records: number, valueLength: number) => {
    const found = await measure<Fill>({ kind: 'fill', store, records, valueLength })
    const name = `${store}, ${records} x ${valueLength} B`
    fills.push({ name, ...found })
    process.stderr.write(`${name}: ${(found.getsPerSecond / 1000).toFixed(0)} k get/s\n`)
    return found
  }
  const figures = new Map<string, Fill>()
  for (const valueLength of [150, 1024]) {
    for (const store of names) {
      figures.set(`${store} ${valueLength}`, await fill(store, million, valueLength))
    }
  }
  const few = await fill('handfast', 100_000, 1024)
  const many = await fill('handfast', 4 * million, 1024)
  print(fillTable(fills))

  const hits: (Hits & { name: string })[] = []
  const maxBytes = (quick ? 64 : 256) * MiB
  for (const store of ['handfast', 'lru-cache'] as const) {
    const job = { store, records: million, requests: 2 * million, maxBytes }
    hits.push({ name: store, ...(await measure<Hits>({ kind: 'hits', ...job })) })
  }
  print(hitTable(hits, maxBytes))

  const [table, map] = [figures.get('handfast 1024'), figures.get('Map 1024')] as [
    Fill,
    Fill,
  ]
  const small = figures.get('handfast 150') as Fill
  const [ours, lru] = hits.map(({ hitRate }) => hitRate * 100) as [number, number]
  const goals = [
    atMost('bytes of overhead per record, 150 B values', small.overhead, 32),
    atMost('bytes of overhead per record, 1 KiB values', table.overhead, 32),
    atMost('GiB of RSS for 4M records of 1 KiB', many.rssMiB / 1024, quick ? 1.1 : 4.4),
    atLeast('get against Map', table.getsPerSecond / map.getsPerSecond, 1.5),
    atLeast(
      'get and copy out against Map',
      table.readsPerSecond / map.readsPerSecond,
      1.5,
    ),
    atLeast('put against Map', table.putsPerSecond / map.putsPerSecond, 2),
    atLeast('points of hit rate against LRU', ours - lru, -2),
    atMost('CPU ms for the worst put of 4M', many.worstPutCpuMs, 5),
    atMost('CPU us for a put of 4M, p99.9', many.p999PutMs * 1000, 50),
    atMost('MiB of JavaScript heap for 4M', many.heapGrowthMiB, 20),
    atMost('get of 4M against 100k, time', few.getsPerSecond / many.getsPerSecond, 1.5),
  ]
  for (const { text, value, limit, met } of goals) {
    print(`goal: ${text}: ${value.toFixed(2)}, limit ${limit}: ${met ? 'met' : 'missed'}`)
  }
  return { fills, hits, goals }
}

async function measure<Result>(job: Job): Promise<Result> {
  const child = forkChild(new URL('./table/measure.ts', import.meta.url), ['--expose-gc'])
  child.send(job)
  const [result] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`the measurement ended with ${code}`)
    }),
  ])
  await stopChild(child)
  return result as Result
}

function fillTable(fills: readonly (Fill & { readonly name: string })[]): string {
  return formatTable({
    title: 'Fill, then get at random; rates per second of CPU',
    columns: [
      'store',
      'k put/s',
      'k get/s',
      'k read/s',
      'overhead B',
      'worst ms',
      'worst CPU ms',
      'p99.9 us',
      'heap MiB',
      'RSS MiB',
    ],
    rows: fills.map(fill => [
      fill.name,
      (fill.putsPerSecond / 1000).toFixed(0),
      (fill.getsPerSecond / 1000).toFixed(0),
      (fill.readsPerSecond / 1000).toFixed(0),
      fill.overhead.toFixed(1),
      fill.worstPutMs.toFixed(1),
      fill.worstPutCpuMs.toFixed(1),
      (fill.p999PutMs * 1000).toFixed(0),
      fill.heapGrowthMiB.toFixed(1),
      fill.rssMiB.toFixed(0),
    ]),
  })
}

function hitTable(
  hits: readonly (Hits & { readonly name: string })[],
  maxBytes: number,
): string {
  return formatTable({
    title: `Hit rate, Zipf 0.99, 1 KiB values, ${maxBytes / MiB} MiB`,
    columns: ['store', 'hits %'],
    rows: hits.map(({ name, hitRate }) => [name, (hitRate * 100).toFixed(2)]),
  })
}

function atMost(text: string, value: number, limit: number): Goal {
  return { text, value, limit, met: value <= limit }
}

function atLeast(text: string, value: number, limit: number): Goal {
  return { text, value, limit, met: value >= limit }
}

const [, script] = process.argv
if (script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean' }, json: { type: 'string' } },
  })
  const machine = describeMachine()
  const print = (line: string) => process.stdout.write(`${line}\n`)
  print(`${machineLine(machine)}\n`)
  const result = await run({ quick: values.quick === true, print })
  if (values.json !== undefined) {
    await writeFile(values.json, `${JSON.stringify({ machine, ...result }, null, 1)}\n`)
  }
}
