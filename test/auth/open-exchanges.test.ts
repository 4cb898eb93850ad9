import { EventEmitter } from 'node:events'
import t from 'tap'
import { type Identity, noBasis } from '../../lib/auth/identity.ts'
import { type Admission, OpenExchanges } from '../../lib/auth/open-exchanges.ts'
import type { Revocation } from '../../lib/resumption/revocation/revocation-record.ts'

/* What ends what; with real connections it is tried in test/flow/open-exchanges.test.ts. */

const identity: Identity = {
  subject: 'ann',
  claims: {},
  method: 'basic',
  at: 1_000,
  expiresAt: 9_000,
}

function admitted(more: Partial<Admission> = {}): Admission {
  const nothing = { lineage: undefined, keys: [], remembered: [] }
  return { identity, basis: noBasis, stands: always, ...nothing, ...more }
}

function revocationOf(more: Partial<Revocation> = {}): Revocation {
  return { target: { user: 'ann' }, at: 1_000, reason: '', close: true, ...more }
}

class Exchange {
  ended = 0
  over: () => void = () => {}
  end = () => {
    this.ended += 1
  }
  onOver = (listener: () => void) => {
    this.over = listener
  }
}

const always = () => true

t.test('a review ends what would not be let in now', async t => {
  const exchanges = new OpenExchanges()
  const [stays, goes] = [new Exchange(), new Exchange()]
  exchanges.add(stays, admitted())
  exchanges.add(goes, admitted({ stands: (_method, subject) => subject !== 'ann' }))
  for (let i = 0; i < 2; i++) exchanges.review()
  t.same([stays.ended, goes.ended], [0, 1])
  t.equal(exchanges.size, 1)
})

t.test('a revocation ends what was let in up to its time, once', async t => {
  const exchanges = new OpenExchanges()
  const [before, after, other] = [new Exchange(), new Exchange(), new Exchange()]
  exchanges.add(before, admitted())
  exchanges.add(after, admitted({ identity: { ...identity, at: 1_001 } }))
  exchanges.add(other, admitted({ identity: { ...identity, subject: 'bob' } }))
  for (let i = 0; i < 2; i++) exchanges.revoke(revocationOf(), always)
  t.same([before.ended, after.ended, other.ended], [1, 0, 0])
  t.equal(exchanges.size, 2)
})

t.test(
  'one that leaves open what is open ends nothing, but for whom it names',
  async t => {
    const exchanges = new OpenExchanges()
    const exchange = new Exchange()
    exchanges.add(exchange, admitted())
    const all = { target: { all: true }, close: false } as const
    exchanges.revoke(revocationOf(all), always)
    exchanges.revoke(revocationOf({ ...all, users: true }), () => false)
    t.equal(exchange.ended, 0)
    exchanges.revoke(revocationOf({ ...all, users: true }), always)
    t.equal(exchange.ended, 1)
  },
)

t.test('what is over by itself is not held', async t => {
  const exchanges = new OpenExchanges()
  const exchange = new Exchange()
  exchanges.add(exchange, admitted())
  exchange.over()
  t.equal(exchanges.size, 0)
  const late = new Exchange()
  late.onOver = listener => listener()
  exchanges.add(late, admitted())
  t.equal(exchanges.size, 0, 'nor what was over before')
})

t.test('a log-out ends what its record let in, and not the one that asks', async t => {
  const exchanges = new OpenExchanges()
  const key = Buffer.from('record')
  const [mine, asking, other] = [new Exchange(), new Exchange(), new Exchange()]
  exchanges.add(mine, admitted({ keys: [key] }))
  exchanges.add(asking, admitted({ keys: [key] }))
  exchanges.add(other, admitted({ keys: [Buffer.from('another')] }))
  exchanges.letGo(asking, {})
  exchanges.loggedOut(Buffer.from('record'))
  t.same([mine.ended, asking.ended, other.ended], [1, 0, 0])
})

t.test(
  'where nobody says when it is over, the next of a connection takes over',
  async t => {
    const exchanges = new OpenExchanges()
    class Socket extends EventEmitter {
      destroyed = false
      destroy() {
        this.destroyed = true
      }
    }
    const socket = new Socket()
    exchanges.addOn(socket, admitted())
    exchanges.addOn(socket, admitted({ identity: { ...identity, subject: 'bob' } }))
    t.equal(exchanges.size, 1)
    exchanges.revoke(revocationOf(), always)
    t.notOk(socket.destroyed, 'it is not hers any more')
    exchanges.revoke(revocationOf({ target: { user: 'bob' } }), always)
    t.ok(socket.destroyed)
    exchanges.addOn(socket, admitted())
    socket.emit('close')
    t.equal(exchanges.size, 0)
    t.equal(socket.listenerCount('close'), 0)
    const gone = new Socket()
    gone.destroy()
    exchanges.addOn(gone, admitted())
    t.equal(exchanges.size, 0)
  },
)
