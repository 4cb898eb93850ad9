import { createSecureContext } from 'node:tls'
import t from 'tap'
import { ContextPool, type Lease } from '../../../lib/resumption/ticket/context-pool.ts'
import { SealedHandshake } from '../../../lib/resumption/ticket/sealed-handshake.ts'
import {
  type TicketAnswer,
  ticketHookOf,
} from '../../../lib/resumption/ticket/ticket-hook.ts'

const answered: TicketAnswer = [0, Buffer.alloc(32, 1), Buffer.alloc(16, 1)]
const scope = { text: 'p', tag: 1 }
const handshake = () => new SealedHandshake('a.test', scope, false, 'none-offered')

/** A pool that tells whose ticket it was asked about. */
function pool(most?: number) {
  const asked: (SealedHandshake | undefined)[] = []
  let made = 0
  const options = {
    makeContext: () => {
      made += 1
      return createSecureContext()
    },
    answer: (whose: SealedHandshake | undefined) => {
      asked.push(whose)
      return answered
    },
  }
  const contexts = new ContextPool(most === undefined ? options : { ...options, most })
  return { contexts, asked, made: () => made }
}

/** As Node calls it. */
function ask({ secureContext }: Lease): void {
  const hook = ticketHookOf(secureContext)
  hook?.onticketkeycallback?.(Buffer.alloc(16), Buffer.alloc(16), false)
}

t.test('a context answers for the connection that it is leased to', async t => {
  const { contexts, asked } = pool()
  const [a, b] = [handshake(), handshake()]
  const ofA = contexts.lease(a) as Lease
  const ofB = contexts.lease(b) as Lease
  t.not(ofA.secureContext, ofB.secureContext)
  ask(ofB)
  ask(ofA)
  t.equal(asked[0], b)
  t.equal(asked[1], a)
  contexts.release(ofA, a)
  ask(ofA)
  t.equal(asked[2], undefined, 'and then for nobody')
})

t.test(
  'the last one given back is the next, and no more are made than needed',
  async t => {
    const { contexts, made } = pool()
    const held = [handshake(), handshake(), handshake()]
    const leases = held.map(one => contexts.lease(one) as Lease)
    for (const [n, lease] of leases.entries()) {
      contexts.release(lease, held[n] as SealedHandshake)
    }
    t.equal(contexts.free, 3)
    for (let n = 0; n < 100; n += 1) {
      const one = handshake()
      const lease = contexts.lease(one) as Lease
      t.equal(lease, leases[2])
      contexts.release(lease, one)
    }
    t.equal(made(), 3)
  },
)

t.test('a lease that has gone on is not given back by the one before', async t => {
  const { contexts } = pool()
  const [a, b] = [handshake(), handshake()]
  const lease = contexts.lease(a) as Lease
  contexts.release(lease, a)
  t.equal(contexts.lease(b), lease)
  contexts.release(lease, a)
  t.equal(contexts.free, 0)
  t.equal(lease.handshake, b)
  contexts.release(lease, b)
  contexts.release(lease, b)
  t.equal(contexts.free, 1, 'nor twice')
})

t.test('beyond the cap there is none, and then there is again', async t => {
  const { contexts } = pool(2)
  const a = handshake()
  const lease = contexts.lease(a) as Lease
  contexts.lease(handshake())
  t.equal(contexts.lease(handshake()), undefined)
  contexts.release(lease, a)
  t.equal(contexts.lease(handshake()), lease)
})

t.test('one network does not take all, however long it keeps them', async t => {
  const { contexts } = pool(100)
  const address = (network: string) => () => network
  let taken = 0
  while (contexts.lease(handshake(), address('10.0.0.1')) !== undefined) taken += 1
  t.ok(taken > 60 && taken < 90, `${taken} of 100`)
  const other = handshake()
  const lease = contexts.lease(other, address('10.0.0.2')) as Lease
  t.ok(lease, 'the next one finds some')
  contexts.release(lease, other)
  const asked: string[] = []
  const { contexts: idle } = pool(100)
  idle.lease(handshake(), () => {
    asked.push('asked')
    return undefined
  })
  t.same(asked, [], 'while few are in use nobody is asked who it is')
})

t.test('contexts are made for a tenth of the time, and then there is none', async t => {
  let [now, used] = [0, 0]
  const contexts = new ContextPool({
    makeContext: () => {
      used += 30
      return createSecureContext()
    },
    answer: () => answered,
    now: () => now,
    used: () => used,
  })
  const burst = () => {
    let got = 0
    while (contexts.lease(handshake()) !== undefined) got += 1
    return got
  }
  t.equal(burst(), 4, '100 ms at once')
  t.equal(contexts.works, true, 'the hook is not to blame')
  now += 100
  t.equal(burst(), 0, 'the last one went beyond it')
  now += 1_000
  t.equal(burst(), 3, 'and 100 ms a second')
  const [one, other] = [handshake(), handshake()]
  now += 1_000
  const free = contexts.lease(one) as Lease
  contexts.release(free, one)
  now = 0
  used = 1e9
  t.equal(contexts.lease(other), free, 'one that is free costs nothing')
})

t.test('with new settings no context of the old ones is used again', async t => {
  const { contexts } = pool(2)
  const [a, b] = [handshake(), handshake()]
  const old = contexts.lease(a) as Lease
  const idle = contexts.lease(b) as Lease
  contexts.release(idle, b)
  contexts.clear()
  t.equal(contexts.size, 0)
  const fresh = contexts.lease(handshake())
  t.not(fresh, idle)
  ask(old)
  contexts.release(old, a)
  t.equal(contexts.free, 0)
  t.ok(contexts.lease(handshake()), 'those in use do not count against the cap')
})

t.test('where Node has no hook there is no lease', async t => {
  const { contexts } = pool()
  const context = createSecureContext()
  Object.assign(context.context as object, { enableTicketKeyCallback: undefined })
  t.equal(ticketHookOf(context), undefined)
  const without = new ContextPool({ makeContext: () => context, answer: () => answered })
  t.equal(without.lease(handshake()), undefined)
  t.equal(without.works, false, 'and no context is made again for nothing')
  t.ok(contexts.lease(handshake()))
})

t.test('a hook that is never called is given up', async t => {
  const { contexts } = pool()
  const lease = contexts.lease(handshake()) as Lease
  for (let n = 0; n < 8; n += 1) {
    t.equal(contexts.works, true)
    contexts.countFinished()
  }
  t.equal(contexts.works, false)
  ask(lease)
  t.equal(contexts.works, true)
})
