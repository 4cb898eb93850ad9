import { seededRandom } from '../harness/random.ts'
import { keyLength, writeKey, zipf } from './keys.ts'
import { openStore, type Store, type StoreName } from './stores.ts'

/** What a child is asked to measure, in a heap of its own. */
export type Job =
  | {
      readonly kind: 'fill'
      readonly store: StoreName
      readonly records: number
      readonly valueLength: number
    }
  | {
      readonly kind: 'hits'
      readonly store: StoreName
      readonly records: number
      readonly requests: number
      readonly maxBytes: number
    }

/** Rates are per second of the processor: of what others take of the machine they know nothing. */
export interface Fill {
  readonly putsPerSecond: number
  readonly getsPerSecond: number
  /** Gets whose value is copied out, as one that answers a request would. */
  readonly readsPerSecond: number
  /** Bytes beyond key and value, per record. */
  readonly overhead: number
  /** By the clock, so it is also how long the system let others run. */
  readonly worstPutMs: number
  /** In time of the processor. */
  readonly worstPutCpuMs: number
  /** Time of the processor, to the microsecond, that one put in a thousand exceeds. */
  readonly p999PutMs: number
  readonly heapGrowthMiB: number
  readonly rssMiB: number
}

export interface Hits {
  readonly hitRate: number
}

if (process.send !== undefined) {
  process.once('message', (job: Job) => {
    process.send?.(job.kind === 'fill' ? fill(job) : hits(job), () =>
      process.disconnect(),
    )
  })
}

function fill({ store: name, records, valueLength }: Job & { kind: 'fill' }): Fill {
  const before = memory()
  let store: Store | undefined = openStore(name, 8 * 2 ** 30)
  const key = Buffer.alloc(keyLength)
  const value = Buffer.alloc(valueLength, 7)
  const began = cpuMs()
  for (let i = 0; i < records; i += 1) {
    writeKey(key, i)
    store.put(key, value)
  }
  const putMs = cpuMs() - began
  const heapAfterPuts = memory()
  const held = heapAfterPuts.heapUsed + heapAfterPuts.external
  const overhead = (held - before.heapUsed - before.external) / records
  const gets = Math.min(records, 1_000_000)
  lookUp(store, records, gets, false)
  const getMs = lookUp(store, records, gets, false)
  const readMs = lookUp(store, records, gets, true)
  const rssMiB = process.memoryUsage.rss() / 2 ** 20
  // Makes room for the second store.
  store = undefined
  memory()
  const times = timePuts(openStore(name, 8 * 2 ** 30), records, value)
  return {
    putsPerSecond: (records / putMs) * 1000,
    getsPerSecond: (gets / getMs) * 1000,
    readsPerSecond: (gets / readMs) * 1000,
    overhead: overhead - keyLength - valueLength,
    ...times,
    heapGrowthMiB: (heapAfterPuts.heapUsed - before.heapUsed) / 2 ** 20,
    rssMiB,
  }
}

/** Milliseconds for so many gets of records that are there, all over the place. */
function lookUp(store: Store, records: number, gets: number, read: boolean): number {
  const random = seededRandom(5)
  const key = Buffer.alloc(keyLength)
  const out = Buffer.alloc(65_536)
  let hits = 0
  const began = cpuMs()
  for (let i = 0; i < gets; i += 1) {
    writeKey(key, Math.floor(random() * records))
    const value = store.get(key)
    if (value === undefined) continue
    hits += 1
    if (read) value.copy(out)
  }
  const ms = cpuMs() - began
  if (hits !== gets) throw new Error(`${gets - hits} of ${gets} records were not there`)
  return ms
}

/** A cache in use: what is not there is put. Counted once the cache has been filled twice. */
function hits({
  store: name,
  records,
  requests,
  maxBytes,
}: Job & { kind: 'hits' }): Hits {
  const store = openStore(name, maxBytes)
  const next = zipf(records, 0.99, seededRandom(11))
  const key = Buffer.alloc(keyLength)
  const value = Buffer.alloc(1024, 7)
  let found = 0
  let asked = 0
  for (let i = 0; i < requests * 2; i += 1) {
    // Popular keys lie all over the key space.
    writeKey(key, Math.imul(next(), 0x2545f491))
    const hit = store.get(key) !== undefined
    if (!hit) store.put(key, value)
    if (i < requests) continue
    asked += 1
    if (hit) found += 1
  }
  return { hitRate: found / asked }
}

function memory(): NodeJS.MemoryUsage {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage()
}

/** Milliseconds of the processor that this process has had. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Fills a second store, asking for the time around every put. */
function timePuts(
  store: Store,
  records: number,
  value: Buffer,
): Pick<Fill, 'worstPutMs' | 'worstPutCpuMs' | 'p999PutMs'> {
  const key = Buffer.alloc(keyLength)
  const counts = new Uint32Array(100_000)
  let worst = 0
  let worstCpu = 0
  for (let i = 0; i < records; i += 1) {
    writeKey(key, i)
    const cpu = cpuMs()
    const wall = performance.now()
    store.put(key, value)
    worst = Math.max(worst, performance.now() - wall)
    const spent = cpuMs() - cpu
    worstCpu = Math.max(worstCpu, spent)
    const cell = Math.min(counts.length - 1, Math.round(spent * 1000))
    counts[cell] = (counts[cell] as number) + 1
  }
  let left = records / 1000
  let cell = counts.length - 1
  for (; cell > 0 && left >= 0; cell -= 1) left -= counts[cell] as number
  return { worstPutMs: worst, worstPutCpuMs: worstCpu, p999PutMs: (cell + 1) / 1000 }
}
