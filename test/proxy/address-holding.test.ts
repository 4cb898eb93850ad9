import type { Socket } from 'node:net'
import t from 'tap'
import { AddressHolding, type OpenConnection } from '../../lib/proxy/address-holding.ts'
import type { Checkpoint } from '../../lib/takeover/checkpoint/checkpoint.ts'
import { decodeCheckpoint } from '../../lib/takeover/checkpoint/codec.ts'
import { endOf } from '../../lib/takeover/plan/planned-response.ts'
import {
  askedCheckpoint,
  fullCheckpoint,
  idleCheckpoint,
} from '../fixtures/takeover/checkpoints.ts'

const address = '10.0.0.100'

interface Wish {
  readonly checkpoint: Checkpoint | undefined
  /** Beside what the checkpoint says. */
  readonly unacked?: number
  readonly unread?: number
  readonly localAddress?: string
  readonly base?: number
  /** Given to the transport. */
  readonly position?: number
}

/** Connections as they are wished, and what was done to them. */
function world(wishes: readonly Wish[]) {
  const done: string[] = []
  const now = { ms: 0 }
  const states = wishes.map(wish => ({ ...wish, isHeld: false }))
  const sockets = states.map(({ localAddress = address }, fd) => ({
    destroyed: false,
    localAddress,
    _handle: { fd, close: () => {} },
    destroy() {
      this.destroyed = true
      done.push(`cut ${fd}`)
    },
  })) as unknown as Socket[]
  const open = (): OpenConnection[] =>
    states.flatMap(({ checkpoint, base = 0, position }, fd) => {
      if (checkpoint === undefined) return []
      const transport = {
        transport: sockets[fd],
        position: position ?? checkpoint.position,
        destroyed: false,
        hold: () => done.push(`hold ${fd}`),
        release: () => done.push(`release ${fd}`),
        destroy: () => done.push(`destroy ${fd}`),
      }
      const one = {
        id: checkpoint.id,
        checkpoint: () => ({
          ...checkpoint,
          transport: structuredClone(checkpoint.transport),
        }),
      }
      const from = { position: base, readPosition: base }
      return [{ transport, one, base: from } as unknown as OpenConnection]
    })
  const of = (fd: number) => {
    const {
      checkpoint = idleCheckpoint,
      unacked = 0,
      unread = 0,
      base = 0,
    } = states[fd] as Wish
    return { ...checkpoint, unacked, unread, base }
  }
  const holding = new AddressHolding({
    address,
    native: {
      acked: (fd: number) => of(fd).position - of(fd).unacked - of(fd).base,
      received: (fd: number) => of(fd).readPosition + of(fd).unread - of(fd).base,
      read: (fd: number) => of(fd).readPosition - of(fd).base,
      block: (fd: number, to?: string) => done.push(`block ${fd}${to ? ` ${to}` : ''}`),
      unblock: (fd: number) => done.push(`unblock ${fd}`),
      silence: (fd: number) => done.push(`silence ${fd}`),
    } as never,
    listener: 100,
    sockets: () => sockets,
    open,
    clock: { monotonic: () => now.ms, now: () => 1_800_000_000_000 },
  })
  return { holding, done, now, states, sockets }
}

const { owed } = fullCheckpoint
const planned = owed?.response?.planned
const inAnswer: Checkpoint = { ...fullCheckpoint, position: (planned?.at ?? 0) + 5 }
const asked = askedCheckpoint

t.test('what stands still goes, with where it is', async t => {
  const { holding, done } = world([
    { checkpoint: idleCheckpoint },
    { checkpoint: { ...idleCheckpoint, id: Buffer.alloc(16, 9) }, base: 100 },
    { checkpoint: idleCheckpoint, localAddress: '10.0.0.1' },
    { checkpoint: idleCheckpoint, localAddress: `::ffff:${address}` },
  ])
  t.equal(holding.hold(false), 0)
  t.strictSame(done, [
    `block 100 ${address}`,
    'hold 0',
    'block 0',
    'hold 1',
    'block 1',
    'hold 3',
    'block 3',
  ])
  const moved = holding.moved()
  t.equal(moved.length, 3)
  t.strictSame(moved[0]?.acked, idleCheckpoint.position)
  const [first = { checkpoint: Buffer.alloc(0) }] = moved
  t.strictSame(decodeCheckpoint(first.checkpoint), idleCheckpoint)
  done.length = 0
  t.strictSame(
    holding.give(() => done.push('leave')),
    { moved: 3, cut: 0 },
  )
  t.strictSame(done, [
    'leave',
    'silence 0',
    'destroy 0',
    'silence 1',
    'destroy 1',
    'silence 3',
    'destroy 3',
    'unblock 100',
  ])
})

t.test('what can not be moved as it is is not held, and is cut in the end', async t => {
  const post = { ...asked, owed: asked.owed && { ...asked.owed } } as Checkpoint
  const wishes: { readonly [name: string]: Wish } = {
    'a connection that nobody has written down': { checkpoint: undefined },
    'the end of an answer is on its way': { checkpoint: idleCheckpoint, unacked: 1 },
    'the client has said something': { checkpoint: idleCheckpoint, unread: 1 },
    'a request with a body': {
      checkpoint: {
        ...post,
        owed: { response: undefined, request: { ...requestOf(asked), hasBody: true } },
      },
    },
    'a request that does something': {
      checkpoint: {
        ...post,
        owed: { response: undefined, request: { ...requestOf(asked), method: 'PUT' } },
      },
    },
    'an answer that comes behind something else': {
      checkpoint: inAnswer,
      unacked: 6,
    },
    'more than the answer was said': {
      checkpoint: { ...inAnswer, position: planned ? endOf(planned) + 1 : 0 },
    },
  }
  for (const [name, wish] of Object.entries(wishes)) {
    const { holding, done } = world([wish, { checkpoint: idleCheckpoint }])
    t.equal(holding.hold(false), 1, name)
    t.equal(holding.hold(true), 1, name)
    t.equal(holding.moved().length, 1, name)
    t.notOk(done.includes('block 0'), name)
    done.length = 0
    t.strictSame(
      holding.give(() => done.push('leave')),
      { moved: 1, cut: 1 },
      name,
    )
    t.strictSame(done, ['cut 0', 'leave', 'silence 1', 'destroy 1', 'unblock 100'], name)
  }
})

t.test('what can be gone on with at a cost is waited for first', async t => {
  const onTheWay = { checkpoint: inAnswer, unacked: 3 }
  for (const wish of [onTheWay, { checkpoint: asked }]) {
    const { holding, done } = world([wish])
    t.equal(holding.hold(false), 1)
    t.notOk(done.includes('block 0'))
    t.equal(holding.hold(true), 0)
    t.ok(done.includes('block 0'))
  }
  const { holding, done, states } = world([onTheWay])
  t.equal(holding.hold(false), 1)
  t.ok(done.includes('hold 0'), 'nothing is added to the answer')
  states[0] = { checkpoint: inAnswer, isHeld: false }
  t.equal(holding.hold(false), 0)
})

t.test('all of it can be taken back', async t => {
  const { holding, done } = world([
    { checkpoint: idleCheckpoint },
    { checkpoint: inAnswer, unacked: 3 },
    { checkpoint: undefined },
  ])
  t.equal(holding.hold(false), 2)
  done.length = 0
  holding.release()
  t.strictSame(done, ['unblock 0', 'release 0', 'release 1', 'unblock 100'])
  t.strictSame(holding.moved(), [])
})

t.test('an address that stays leaves all as it was', async t => {
  const { holding, done } = world([{ checkpoint: idleCheckpoint }])
  holding.hold(false)
  done.length = 0
  const stay = () => {
    throw new Error('stays')
  }
  t.throws(() => holding.give(stay))
  holding.release()
  t.strictSame(done, ['unblock 0', 'release 0', 'unblock 100'])
})

t.test('what has ended meanwhile does not go', async t => {
  const { holding, sockets } = world([{ checkpoint: idleCheckpoint }])
  holding.hold(false)
  sockets[0]?.destroy()
  t.strictSame(holding.moved(), [])
  t.strictSame(
    holding.give(() => {}),
    { moved: 0, cut: 0 },
  )
})

t.test('something lasts when it can not be moved for a second', async t => {
  const { holding, now, states } = world([
    { checkpoint: undefined },
    { checkpoint: idleCheckpoint },
  ])
  t.equal(holding.lasting(), 0)
  now.ms = 500
  t.equal(holding.lasting(), 0)
  now.ms = 1_200
  t.equal(holding.lasting(), 1)
  states[0] = { checkpoint: idleCheckpoint, isHeld: false }
  t.equal(holding.lasting(), 0)
  states[0] = { checkpoint: undefined, isHeld: false }
  now.ms = 1_300
  t.equal(holding.lasting(), 0, 'it begins anew')
})

function requestOf({ owed }: Checkpoint) {
  if (owed === undefined) throw new Error('nothing is owed')
  return owed.request
}
