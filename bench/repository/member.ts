import { joinFarm } from '../../lib/member/create-farm.ts'
import { Farm } from '../../lib/member/farm.ts'
import type { FarmOptions } from '../../lib/member/options.ts'
import { type TableId, tables } from '../../lib/record/key.ts'
import { seededRandom } from '../harness/random.ts'
import { keyLength, writeKey } from '../table/keys.ts'

/** What the parent asks for, one after the other. */
export type Job =
  | { readonly kind: 'join'; readonly options: FarmOptions }
  | { readonly kind: 'fill'; readonly records: number; readonly valueLength: number }
  /** Gets of records at random that are not here, one at a time, until it is told to stop. */
  | { readonly kind: 'ask'; readonly records: number; readonly seed: number }
  | { readonly kind: 'stop' }

export interface Joined {
  readonly address: string | undefined
  readonly records: number
  /** From the call to the answer, when it holds what the farm held. */
  readonly ms: number
  readonly cpuMs: number
}

export interface Asked {
  /** Milliseconds of each get that was answered. */
  readonly times: readonly number[]
  readonly missed: number
}

/** Longer than this no get waits, ms. */
const budget = 1_000
/** Puts between two turns of others. */
const stride = 2_000
/** Between two gets, ms: they are to meet the join, and not to be what it waits for. */
const pace = 2

let parts: Awaited<ReturnType<typeof joinFarm>> | undefined
let farm: Farm | undefined
let isAsking = false

process.on('disconnect', () => process.exit())
process.on('message', async (job: Job) => {
  if (job.kind === 'join') process.send?.(await join(job.options))
  else if (job.kind === 'fill') process.send?.(await fill(job))
  else if (job.kind === 'ask') process.send?.(await ask(job))
  else isAsking = false
})

async function join(options: FarmOptions): Promise<Joined> {
  const [began, cpu] = [performance.now(), process.cpuUsage()]
  parts = await joinFarm(options)
  const ms = performance.now() - began
  const { user, system } = process.cpuUsage(cpu)
  farm = new Farm(parts)
  const { records } = parts.table.stats()
  return { address: farm.address, records, ms, cpuMs: (user + system) / 1_000 }
}

/** As if others had written them long ago. */
async function fill({ records, valueLength }: Job & { kind: 'fill' }): Promise<number> {
  const value = Buffer.alloc(valueLength, 7)
  const expiresAt = Date.now() + 3_600_000
  for (let i = 0; i < records; i += 1) {
    const version = { ms: Date.now(), logical: i % 65_536, node: 1 }
    const record = { table, key: keyOf(i), value, version, expiresAt, tombstone: false }
    parts?.cache.apply(record)
    if (i % stride === 0) await turn()
  }
  return parts?.table.stats().records ?? 0
}

async function ask({ records, seed }: Job & { kind: 'ask' }): Promise<Asked> {
  const random = seededRandom(seed)
  const times: number[] = []
  let missed = 0
  isAsking = true
  while (isAsking) {
    const key = keyOf(Math.floor(random() * records))
    if (parts?.cache.getLocal(table, key) !== undefined) continue
    const began = performance.now()
    const found = await parts?.cache.get(table, key, budget)
    if (found === undefined) missed += 1
    else times.push(performance.now() - began)
    await new Promise(resolve => setTimeout(resolve, pace))
  }
  return { times, missed }
}

const table: TableId = tables.session

function keyOf(number: number): Buffer {
  const key = Buffer.alloc(keyLength)
  writeKey(key, number)
  return key
}

function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
