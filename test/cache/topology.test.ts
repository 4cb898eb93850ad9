import { createHash } from 'node:crypto'
import t from 'tap'
import { Rendezvous } from '../../lib/cache/rendezvous.ts'
import { type TopologyName, topologyOf } from '../../lib/cache/topology.ts'
import type { Layout } from '../../lib/farm/placement/topology.ts'
import { tables } from '../../lib/record/key.ts'

const seed = 20_260
const keys = Array.from({ length: 20_000 }, (_, i) =>
  createHash('sha256').update(`session ${i}`).digest(),
)
const ids = (count: number) => Array.from({ length: count }, (_, i) => `10.0.0.${i}`)

t.test('every member owns about as many keys, and is first for as many', async t => {
  for (const members of [6, 10, 50]) {
    const order = new Rendezvous(seed, ids(members))
    const owned = new Map<string, number>()
    const first = new Map<string, number>()
    let alike = 0
    for (const key of keys) {
      const owners = order.first(tables.session, key, 2)
      if (owners.length !== 2 || owners[0] === owners[1]) alike += 1
      for (const id of owners) owned.set(id, (owned.get(id) ?? 0) + 1)
      first.set(owners[0] ?? '', (first.get(owners[0] ?? '') ?? 0) + 1)
    }
    t.equal(alike, 0, 'two owners are two')
    const share = keys.length / members
    // Five times what chance alone makes of it.
    const slack = 5 * Math.sqrt(share)
    for (const id of ids(members)) {
      t.ok(Math.abs((owned.get(id) ?? 0) - 2 * share) < 1.5 * slack, `${id} owns`)
      t.ok(Math.abs((first.get(id) ?? 0) - share) < slack, `${id} is first`)
    }
  }
})

t.test('a member that comes or goes moves its own keys only', async t => {
  const before = new Rendezvous(seed, ids(10))
  const after = new Rendezvous(seed, ids(11))
  let moved = 0
  let turned = 0
  for (const key of keys) {
    const old = before.first(tables.session, key, 3)
    const now = after.first(tables.session, key, 3)
    const rest = now.filter(id => id !== '10.0.0.10')
    if (rest.length < 3) moved += 1
    if (rest.join() !== old.slice(0, rest.length).join()) turned += 1
  }
  t.equal(turned, 0, 'the others keep their order')
  const wanted = (3 * keys.length) / 11
  t.ok(Math.abs(moved - wanted) < 5 * Math.sqrt(wanted), `${moved} of ${wanted}`)
})

t.test(
  'all compute the same, in whatever order they met; other farms another',
  async t => {
    const names = ids(30)
    const one = new Rendezvous(seed, names)
    const other = new Rendezvous(seed, [...names].reverse())
    const farm = new Rendezvous(seed + 1, names)
    let alike = 0
    const others = 0
    for (const key of keys.slice(0, 2_000)) {
      const owners = one.first(tables.session, key, 4)
      t.same(other.first(tables.session, key, 4), owners)
      t.same(one.first(tables.session, key, 2), owners.slice(0, 2))
      if (farm.first(tables.session, key, 1)[0] === owners[0]) alike += 1
    }
    t.equal(others, 0)
    t.ok(alike < 200, 'who does not know the seed can not tell')
  },
)

t.test('more owners than members are all members, once', async t => {
  const order = new Rendezvous(seed, ['a', 'b'])
  t.same(order.first(tables.session, Buffer.from('k'), 8).sort(), ['a', 'b'])
  t.same(new Rendezvous(seed, []).first(tables.session, Buffer.from('k'), 2), [])
})

t.test('auto is partitioned from six hosts on, until there are four', async t => {
  const layouts = (name: TopologyName, sizes: readonly number[]) => {
    const topology = topologyOf({ name, copies: 2, asks: 'sequence', seed })
    let layout: Layout = 'replicated'
    return sizes.map(size => {
      layout = topology.layout(size, layout)
      return layout === 'partitioned'
    })
  }
  t.same(layouts('auto', [1, 5, 6, 5, 6, 4, 5, 300]), [
    false,
    false,
    true,
    true,
    true,
    false,
    false,
    true,
  ])
  t.same(layouts('replicated', [1, 300]), [false, false])
  t.same(layouts('partitioned', [1, 300]), [true, true])
})
