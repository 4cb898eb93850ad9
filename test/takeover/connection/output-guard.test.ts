import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import t from 'tap'
import { ProtectedConnection } from '../../../lib/takeover/connection/protected-connection.ts'
import { dataOf, Tls13Peer, tls13State } from '../../fixtures/takeover/tls13-peer.ts'

class Transport extends Duplex {
  sent = Buffer.alloc(0)
  resets = 0

  resetAndDestroy(): this {
    this.resets += 1
    return this.destroy()
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.sent = Buffer.concat([this.sent, chunk])
    callback()
  }
}

function world() {
  const transport = new Transport()
  const state = tls13State()
  const connection = ProtectedConnection.adopt(
    transport as unknown as Socket,
    state,
    0,
    0,
  )
  connection.on('error', () => {})
  const peer = new Tls13Peer(state)
  const calls: string[] = []
  let end: { resolve(): void; reject(error: Error): void } | undefined
  connection.guard = {
    suspend: () => {
      calls.push('suspend')
      return new Promise<void>((resolve, reject) => {
        end = { resolve, reject }
      })
    },
    settled: () => calls.push('settled'),
  }
  const allow = async () => {
    end?.resolve()
    await turn()
  }
  const refuse = async () => {
    end?.reject(new Error('no'))
    await turn()
  }
  return { connection, transport, peer, calls, allow, refuse }
}

function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

t.test('what is in no plan waits, and a planned response does not', async t => {
  const { connection, transport, peer, calls, allow } = world()
  connection.write('unplanned')
  await turn()
  t.equal(transport.sent.length, 0)
  await allow()
  t.equal(dataOf(peer.read(transport.sent)).toString(), 'unplanned')
  t.strictSame(calls, ['suspend'])
  t.ok(connection.hasSpoken)

  const isPlanned = connection.plan(
    { first: 0, length: 4, keepAlive: true },
    () => undefined,
  )
  t.ok(isPlanned)
  transport.sent = Buffer.alloc(0)
  connection.write('HTTP/1.1 200 OK\r\n\r\nbody')
  await turn()
  t.match(dataOf(peer.read(transport.sent)).toString(), /body$/)
  t.strictSame(calls, ['suspend'])
})

t.test('what comes in one piece with the end of a plan waits behind it', async t => {
  const { connection, transport, peer, allow } = world()
  connection.plan({ first: 0, length: 4, keepAlive: true }, () => undefined)
  connection.write('HTTP/1.1 200 OK\r\n\r\nbody, and more')
  await turn()
  t.match(dataOf(peer.read(transport.sent)).toString(), /body$/)
  transport.sent = Buffer.alloc(0)
  await allow()
  t.equal(dataOf(peer.read(transport.sent)).toString(), ', and more')
})

t.test('who may not speak is reset', async t => {
  const { connection, transport, refuse } = world()
  connection.write('unplanned')
  await refuse()
  t.equal(transport.resets, 1)
  t.equal(transport.sent.length, 0)
  t.ok(connection.destroyed)
})

t.test('an end waits, and where it may not be said TCP alone says it', async t => {
  const one = world()
  one.connection.end()
  await turn()
  t.equal(one.transport.sent.length, 0)
  await one.allow()
  t.strictSame(one.peer.read(one.transport.sent), [
    { type: 21, content: Buffer.from([1, 0]) },
  ])
  const other = world()
  other.connection.end()
  await other.refuse()
  t.equal(other.transport.sent.length, 0)
  t.ok(other.transport.writableFinished)
  t.equal(other.transport.resets, 0)
})

t.test('an alert waits', async t => {
  for (const isAllowed of [true, false]) {
    const { connection, transport, peer, allow, refuse } = world()
    connection.resume()
    transport.push(Buffer.concat([Buffer.from([23, 3, 3, 0, 32]), Buffer.alloc(32)]))
    await turn()
    t.equal(transport.sent.length, 0)
    await (isAllowed ? allow() : refuse())
    t.ok(connection.destroyed)
    const types = peer.read(transport.sent).map(({ type }) => type)
    t.strictSame(types, isAllowed ? [21] : [])
  }
})

t.test('so does the answer to a KeyUpdate', async t => {
  const { connection, transport, peer, calls, allow } = world()
  connection.resume()
  transport.push(peer.keyUpdate(1))
  transport.push(peer.data('more'))
  await turn()
  t.equal(transport.sent.length, 0)
  const plan = { first: 0, length: 4, keepAlive: true }
  t.notOk(
    connection.plan(plan, () => undefined),
    'nothing is promised before it is out',
  )
  await allow()
  t.strictSame(
    peer.read(transport.sent).map(({ type }) => type),
    [22],
  )
  t.strictSame(calls, ['suspend', 'settled'])
})
