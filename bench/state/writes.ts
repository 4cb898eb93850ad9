import { once } from 'node:events'
import { PostgresServer, withoutPostgres } from '../../test/fixtures/postgres/server.ts'
import type { BenchmarkContext } from '../benchmark.ts'
import { forkChild, stopChild } from '../harness/child.ts'
import { seededRandom, shuffled } from '../harness/random.ts'
import type { WriteOrder } from './write-process.ts'

/** Before anything counts: until then V8 compiles. */
const warmUp = 5_000

/** `statement`: the update that state makes, prepared, over a pool of pg and nothing else. */
export const writers = ['statement', 'set'] as const
export type Writer = (typeof writers)[number]

/** Microseconds of processor time for each write, of its process and of PostgreSQL together. */
export interface WriteCosts {
  readonly writer: Writer
  readonly own: number[]
  readonly total: number[]
}

/** A set through to PostgreSQL beside the statement that it is. */
export async function measureWrites(
  { quick, seed, progress, calibration }: BenchmarkContext,
  skipped: string[],
): Promise<readonly WriteCosts[]> {
  if (withoutPostgres) {
    skipped.push(`writes to PostgreSQL: ${withoutPostgres}`)
    return []
  }
  const rounds = quick ? 5 : 15
  const writes = quick ? 500 : 1_500
  const endings: (() => unknown)[] = []
  try {
    const server = await PostgresServer.start({ teardown: fn => endings.push(fn) })
    const children = await Promise.all(
      writers.map(async writer => {
        const child = forkChild(new URL('./write-process.ts', import.meta.url))
        endings.push(() => stopChild(child))
        const order: WriteOrder = { writer, url: server.url }
        child.send(order)
        await once(child, 'message')
        const costs: WriteCosts = { writer, own: [], total: [] }
        return { child, costs }
      }),
    )
    const random = seededRandom(seed)
    progress.expect(children.length * (rounds + 1))
    for (const { child, costs } of children) {
      progress.step(`writes: ${costs.writer}, warming up`)
      child.send(warmUp)
      await once(child, 'message')
    }
    for (let round = 0; round < rounds; round += 1) {
      calibration.take()
      for (const { child, costs } of shuffled(children, random)) {
        progress.step(`writes: ${costs.writer}`)
        const before = server.cpu()
        child.send(writes)
        const [own] = (await once(child, 'message')) as [number]
        const after = server.cpu()
        if (before === undefined || after === undefined) continue
        costs.own.push(own)
        costs.total.push(own + ((after - before) * 1_000) / writes)
      }
    }
    return children.map(({ costs }) => costs)
  } finally {
    for (const end of endings.reverse()) await end()
  }
}
