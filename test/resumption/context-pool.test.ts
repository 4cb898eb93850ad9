import { createSecureContext } from 'node:tls'
import t from 'tap'
import { ContextPool, type Lease } from '../../lib/resumption/ticket/context-pool.ts'
import { SealedHandshake } from '../../lib/resumption/ticket/sealed-handshake.ts'
import {
  type TicketAnswer,
  ticketHookOf,
} from '../../lib/resumption/ticket/ticket-hook.ts'

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
