import t from 'tap'
import { Bundles, mostBundled } from '../../../lib/takeover/checkpoint/bundles.ts'
import { longestCheckpoint } from '../../../lib/takeover/checkpoint/checkpoint.ts'

const lineage = Buffer.from('a lineage')
const member = (size = 0) => ({ size })

t.test('connections of one lineage have one bundle, in every process', async t => {
  const bundles = new Bundles<{ size: number }>()
  const bundle = bundles.of(lineage)
  const other = bundles.of(Buffer.from('another'))
  if (bundle === undefined || other === undefined) throw new Error('there is room')
  bundles.add(bundle, member())
  t.equal(bundles.of(Buffer.from(lineage)), bundle)
  t.notSame(other.id, bundle.id)
  t.strictSame(new Bundles().of(lineage)?.id, bundle.id)
  t.equal(bundle.id.length, 16)
})

t.test('forbidden: the lineage, which resumes, stands in its name', async t => {
  const id = new Bundles().of(lineage)?.id
  t.notOk(id?.includes(lineage.subarray(0, 4)))
})

t.test('a connection without a lineage goes alone', async t => {
  t.equal(new Bundles().of(undefined), undefined)
})

t.test('more than eight go alone, until one has ended', async t => {
  const bundles = new Bundles<{ size: number }>()
  const bundle = bundles.of(lineage)
  if (bundle === undefined) throw new Error('there is room')
  const members = Array.from({ length: mostBundled }, () => member())
  for (const each of members) bundles.add(bundle, each)
  t.equal(bundles.of(lineage), undefined)
  const [first, ...others] = members
  if (first !== undefined) bundles.remove(bundle, first)
  t.equal(bundles.of(lineage), bundle)
  for (const each of others) bundles.remove(bundle, each)
  t.not(bundles.of(lineage), bundle, 'nothing is kept of what is over')
})

t.test('there is room for all of a bundle in one record', async t => {
  const bundles = new Bundles<{ size: number }>()
  const bundle = bundles.of(lineage)
  if (bundle === undefined) throw new Error('there is room')
  const [one, two] = [member(1_000), member(20_000)]
  for (const each of [one, two]) bundles.add(bundle, each)
  t.equal(bundle.roomFor(one), longestCheckpoint - 20_000)
  t.equal(bundle.roomFor(two), longestCheckpoint - 1_000)
})
