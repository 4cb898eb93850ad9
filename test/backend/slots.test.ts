import t from 'tap'
import { Slot, Slots } from '../../lib/backend/slots.ts'

/** How many of 100 the client gets. */
function takeMany(
  slots: Slots,
  use: Parameters<Slots['take']>[0],
  client?: string,
): Slot[] {
  const taken = Array.from({ length: 100 }, () => slots.take(use, client))
  return taken.filter(one => one instanceof Slot)
}

t.test('requests, held bodies and tunnels are counted apart', async t => {
  const slots = new Slots({ maxRequests: 10, maxTunnels: 20, share: 1 })
  const held = takeMany(slots, 'held', 'a')
  t.equal(held.length, 10)
  const upgrades = takeMany(slots, 'upgrade', 'a')
  t.equal(upgrades.length, 10)
  t.equal(slots.take('request', 'b'), 'maxBackendRequests', 'until it is open')
  for (const slot of upgrades) t.equal(slot.become('tunnel'), undefined)
  const requests = takeMany(slots, 'request', 'a')
  t.equal(requests.length, 10)
  t.equal(held[0]?.become('request'), 'maxBackendRequests')
  requests[0]?.release()
  t.equal(held[0]?.become('request'), undefined)
  t.ok(slots.take('held', 'a') instanceof Slot, 'and what was held is free')
})

t.test('a slot that can not be had takes nothing', async t => {
  const slots = new Slots({ maxRequests: 10, maxTunnels: 1, share: 1 })
  const [open] = takeMany(slots, 'upgrade')
  t.equal(slots.take('upgrade', undefined), 'maxTunnels')
  t.equal(takeMany(slots, 'request').length, 9)
  open?.release()
  open?.release()
  t.equal(takeMany(slots, 'upgrade').length, 1, 'and is given back once')
})

t.test('no client gets all of it', async t => {
  const slots = new Slots({ maxRequests: 10, maxTunnels: 10, share: 0.8 })
  t.equal(takeMany(slots, 'request', 'a').length, 8)
  t.equal(takeMany(slots, 'held', 'a').length, 8)
  for (const slot of takeMany(slots, 'request', 'b')) slot.release()
  t.ok(takeMany(slots, 'upgrade', 'b').length > 0)
})
