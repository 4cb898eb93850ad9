import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { ClientConnection } from '../../lib/proxy/client/client-connection.ts'
import type { Exchange } from '../../lib/proxy/client/exchange.ts'
import { Protection } from '../../lib/proxy/protection.ts'
import type { Checkpoint } from '../../lib/takeover/checkpoint/checkpoint.ts'
import type { OutputCommit } from '../../lib/takeover/checkpoint/checkpoint-keeper.ts'
import {
  decodeCheckpoint,
  encodeCheckpoint,
} from '../../lib/takeover/checkpoint/codec.ts'
import type { ProtectedConnection } from '../../lib/takeover/connection/protected-connection.ts'
import type { NativeSocket } from '../../lib/takeover/native/native-socket.ts'
import { endOf } from '../../lib/takeover/plan/planned-response.ts'
import type { Inheritance } from '../../lib/takeover/protection-options.ts'
import { TakeoverCounters } from '../../lib/takeover/takeover-counters.ts'
import { ManualClock } from '../fixtures/manual-clock.ts'
import { fullCheckpoint, idleCheckpoint } from '../fixtures/takeover/checkpoints.ts'

/** A connection of TLS that waits for its next request. */
const idle: Checkpoint = { ...fullCheckpoint, owed: undefined }
const { position, readPosition } = idle
const request = (fullCheckpoint.owed as NonNullable<Checkpoint['owed']>).request
const response = fullCheckpoint.owed?.response as NonNullable<
  NonNullable<Checkpoint['owed']>['response']
>
const exact: Inheritance = { position, readPosition, standing: 'exact' }
const loose: Inheritance = { ...exact, standing: 'loose' }
/** In the middle of the answer. */
const within = { ...loose, position: response.planned.at + 30_000 }

function bytesOf(checkpoint: Checkpoint): Buffer {
  return encodeCheckpoint(checkpoint) as Buffer
}

/** A proxy that takes over, and the socket that was made for a client. */
async function world(t: Test, hasRoom = true, output?: OutputCommit<Socket>) {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const counters = new TakeoverCounters()
  const clock = new ManualClock()
  const transports: ProtectedConnection[] = []
  const exchanges: Exchange[] = []
  const accepted: ClientConnection[] = []
  const protection = new Protection(
    {
      keeper: {
        wantsProgress: true,
        write: () => true,
        progress() {},
        give() {},
        retire() {},
        output,
      },
      native: {
        acked: () => 0,
        received: () => 0,
        read: () => 0,
        block() {},
        unblock() {},
        silence() {},
      } as unknown as NativeSocket,
      counters,
      kernelOf: () => Buffer.alloc(0),
    },
    {
      admit: transport => {
        transports.push(transport)
        transport.on('error', () => {})
        const socket = transport as unknown as TLSSocket
        return hasRoom ? new ClientConnection(socket, '', () => false) : undefined
      },
      handle: exchange => void exchanges.push(exchange),
      accept: connection => void accepted.push(connection),
      idleTimeout: () => 60_000,
    },
    clock,
  )
  t.teardown(() => {
    protection.close()
    for (const transport of transports) transport.destroy()
    server.close()
  })
  return {
    protection,
    clock,
    transports,
    exchanges,
    accepted,
    /** What is counted. */
    counts: () =>
      Object.fromEntries(
        Object.entries(counters.read()).filter(([, count]) => count > 0),
      ),
    /** The same bytes each time: whoever inherits once more has these. */
    async inherit(bytes: Buffer, at: Inheritance) {
      const client = connect(port, '127.0.0.1')
      client.on('error', () => {})
      const [socket] = (await once(server, 'connection')) as [Socket]
      t.teardown(() => client.destroy())
      const end = new Promise<string>(resolve => {
        client.once('error', error =>
          resolve((error as NodeJS.ErrnoException).code ?? ''),
        )
        client.once('end', () => resolve('end'))
        client.resume()
      })
      return { goesOn: protection.inherit(socket, bytes, at), end, client }
    },
  }
}

const lost: {
  readonly [what: string]: readonly [Checkpoint | undefined, Inheritance, string]
} = {
  'what nobody can read': [undefined, exact, 'unreadable'],
  'what its host was about to go beyond': [
    idle,
    { ...exact, standing: 'suspended' },
    'stale',
  ],
  'TLS that waits, when its host may have said more': [idle, loose, 'sealed'],
  'TLS with a request, when its host may have answered': [
    { ...idle, owed: { request, response: undefined } },
    loose,
    'sealed',
  ],
  'more was said than is known': [idle, { ...exact, position: position + 1 }, 'stale'],
  'less was read than is known': [
    idle,
    { ...exact, readPosition: readPosition - 1 },
    'stale',
  ],
  'the client said what is known to nobody': [
    idle,
    { ...exact, readPosition: readPosition + 1 },
    'input-lost',
  ],
  'an answer that has not begun here': [
    fullCheckpoint,
    { ...loose, position: response.planned.at - 1 },
    'stale',
  ],
  'its end has been said': [
    fullCheckpoint,
    { ...loose, position: endOf(response.planned) + 1 },
    'complete',
  ],
}

for (const [what, [checkpoint, at, cause]] of Object.entries(lost)) {
  t.test(`${what}: the client is told by a reset`, async t => {
    const { inherit, counts, transports } = await world(t)
    const bytes = checkpoint ? bytesOf(checkpoint) : Buffer.from('no checkpoint')
    const { goesOn, end } = await inherit(bytes, at)
    t.equal(goesOn, false)
    t.equal(await end, 'ECONNRESET')
    t.strictSame(counts(), { [cause]: 1 })
    t.equal(transports.length, 0, 'and nothing was made of its keys')
  })
}

t.test('without room for it the client is told by a reset', async t => {
  const { inherit, counts } = await world(t, false)
  const { goesOn, end } = await inherit(bytesOf(idle), exact)
  t.equal(goesOn, false)
  t.equal(await end, 'ECONNRESET')
  t.strictSame(counts(), { refused: 1 })
})

t.test(
  'what is known exactly waits, is asked anew, or told that it can not be',
  async t => {
    for (const transport of [idle.transport, idleCheckpoint.transport]) {
      const { inherit, counts, accepted } = await world(t)
      const of = (owed: Checkpoint['owed']) => bytesOf({ ...idle, transport, owed })
      t.equal((await inherit(of(undefined), exact)).goesOn, true)
      t.equal(accepted.length, 0)
      t.equal((await inherit(of({ request, response: undefined }), exact)).goesOn, true)
      t.equal(accepted.length, 1)
      const post = { ...request, method: 'POST' }
      t.equal(
        (await inherit(of({ request: post, response: undefined }), exact)).goesOn,
        true,
      )
      t.strictSame(counts(), { idle: 1, asked: 1, failed: 1 })
    }
  },
)

t.test('a planned answer goes on, whatever else its host may have said', async t => {
  for (const standing of ['exact', 'loose'] as const) {
    const { inherit, transports, exchanges } = await world(t)
    const { goesOn } = await inherit(bytesOf(fullCheckpoint), {
      ...within,
      standing,
    })
    t.equal(goesOn, true)
    t.equal(exchanges.length, 1, 'its rest is asked for')
    t.equal(transports[0]?.position, within.position)
  }
})

t.test(
  'who is met once more goes on as before, if nothing was said meanwhile',
  async t => {
    const { inherit, counts, transports } = await world(t)
    const bytes = bytesOf(idle)
    t.equal((await inherit(bytes, exact)).goesOn, true)
    t.equal((await inherit(bytes, exact)).goesOn, true)
    t.strictSame(counts(), { idle: 2 })
    const [, second] = transports
    await new Promise(resolve => second?.write('said here', resolve))
    const { goesOn, end } = await inherit(bytes, exact)
    t.equal(goesOn, false, 'other bytes would be under the same number')
    t.equal(await end, 'ECONNRESET')
    t.strictSame(counts(), { idle: 2, sealed: 1 })
    const another = bytesOf(idle)
    t.equal((await inherit(another, exact)).goesOn, true, 'another one has its own')
  },
)

t.test(
  'one connection alone goes to another host, where others are waited for',
  async t => {
    for (const isCertain of [true, false]) {
      const recalled: Buffer[] = []
      const one = await world(t, true, {
        commit: () => undefined,
        suspend: async (_, checkpoint) => {
          recalled.push(checkpoint)
          return isCertain
        },
      })
      await one.inherit(bytesOf(idle), exact)
      one.clock.advance(1_000)
      const [movable, ...others] = one.protection.movable()
      t.equal(others.length, 0)
      t.match(decodeCheckpoint(movable?.checkpoint ?? Buffer.alloc(0)), { position })
      const holding = one.protection.holdingOf(movable?.id.toString('hex') ?? '')
      t.equal(holding?.hold(true), 1)
      await new Promise(setImmediate)
      t.equal(holding?.hold(true), isCertain ? 0 : 1)
      t.equal(
        one.protection.holdingOf('00'.repeat(16)),
        undefined,
        'there is no such one',
      )
      if (isCertain)
        t.strictSame(
          holding?.give(() => {}),
          { moved: 1, cut: 0 },
        )
      else holding?.release()
      t.equal(one.transports[0]?.destroyed, isCertain)
    }
    const alone = await world(t)
    await alone.inherit(bytesOf(idle), exact)
    t.strictSame(alone.protection.movable(), [], 'nor where nobody waits for others')
  },
)
