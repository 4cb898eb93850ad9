import t from 'tap'
import { shapes, simulatePlaced } from '../fixtures/simulator/placed.ts'
import { simulate } from '../fixtures/simulator/simulation.ts'

/**
 * Loss, bursts, duplicates, reordering, flipped bits, pauses, crashes, joins, leaves,
 * partitions, wrong clocks, members that datagrams do not reach, replays by strangers. More
 * seeds: `npm run test:simulator -- --seeds 10000`; one again: `-- --seed 17`; with `--links` over
 * links alone, where messages come in order or not at all, and links break and stand again; with
 * `--placed partitioned`, `large` or `tiered` where sessions lie with their owners.
 */
for (const carrier of ['datagrams', 'links'] as const)
  t.test(
    `over ${carrier}, whatever happens, the tables agree in the end and no answer was a lie`,
    async t => {
      const from = Number(process.env['HANDFAST_SEED'] ?? 1)
      const seeds = Number(process.env['HANDFAST_SEEDS'] ?? 100)
      t.comment(`seeds ${from} to ${from + seeds - 1}`)
      let acknowledged = 0
      let repairs = 0
      let resyncs = 0
      for (let seed = from; seed < from + seeds; seed++) {
        const outcome = simulate(seed, carrier)
        t.same(outcome.problems, [], `seed ${seed}`)
        acknowledged += outcome.acknowledged
        repairs += outcome.repairs
        resyncs += outcome.resyncs
      }
      t.ok(acknowledged > seeds * 20, 'writes were acknowledged')
      if (carrier === 'datagrams') t.ok(repairs > seeds, 'losses were repaired')
      t.ok(resyncs > seeds, 'tables were fetched')
    },
  )

/**
 * An owner that stood still while a new member wrote; a repository that joined meanwhile; one told
 * to have everything, of some that each have a part; a deletion of one that left in a partition;
 * sessions that a lost repository alone had; one told to have everything that joined late.
 */
const onceFailed: { readonly [shape: string]: readonly number[] } = {
  large: [455],
  tiered: [79, 275, 548, 595, 953],
}

for (const shape of shapes)
  t.test(
    `${shape}: sessions that lie with their owners are found, whoever comes and goes`,
    async t => {
      const from = Number(process.env['HANDFAST_SEED'] ?? 1)
      const seeds = Number(process.env['HANDFAST_PLACED_SEEDS'] ?? 6)
      t.comment(`seeds ${from} to ${from + seeds - 1}`)
      let moved = 0
      const numbers = Array.from({ length: seeds }, (_, i) => from + i)
      for (const seed of [...numbers, ...(onceFailed[shape] ?? [])]) {
        const outcome = simulatePlaced(seed, shape)
        t.same(outcome.problems, [], `seed ${seed}`)
        moved += outcome.moved
      }
      t.ok(moved > seeds, 'records were copied to new owners')
    },
  )

t.test('a seed replays exactly', async t => {
  for (const carrier of ['datagrams', 'links'] as const)
    t.same(simulate(42, carrier), simulate(42, carrier), carrier)
  for (const shape of shapes)
    t.same(simulatePlaced(42, shape), simulatePlaced(42, shape), shape)
})
