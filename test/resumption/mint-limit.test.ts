import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { MintLimit } from '../../lib/resumption/mint-limit.ts'
import {
  only,
  resume,
  resumptionOver,
  told,
  versions,
} from '../fixtures/resumption-world.ts'
import { listening, tellingServer } from '../fixtures/servers.ts'
import { SimulatedTime } from '../fixtures/ticket-farm.ts'
import { visit } from '../fixtures/tls-client.ts'

const minute = 60_000

/** A server to which each client seems to come from `from()`. */
async function limited(t: Test, mintLimit: number, from: () => string | undefined) {
  const time = new SimulatedTime(Date.UTC(2026, 2, 1))
  const world = resumptionOver({}, { mintLimit, clock: time.clock() })
  const server = await tellingServer()
  server.prependListener('connection', (socket: Socket) => {
    Object.defineProperty(socket, 'remoteAddress', { get: from })
  })
  world.resumption.attach(server)
  return { ...world, time, port: await listening(t, server) }
}

for (const version of versions) {
  t.test(
    `${version}: beyond the limit of an address handshakes work, and store nothing`,
    async t => {
      let address: string | undefined = '192.0.2.1'
      const { port, counters, time } = await limited(t, 10, () => address)
      const kept = await visit({ port, ...only(version) })
      /** How many of `n` new sessions resume. */
      const stored = async (n: number) => {
        let count = 0
        for (let i = 0; i < n; i += 1) {
          const { sessions } = await visit({ port, ...only(version) })
          if ((await resume(port, sessions[0], only(version))).reused) count += 1
        }
        return count
      }
      const flood = await stored(30)
      t.ok(flood >= 10 && flood <= 15, `${flood} of 30`)
      t.ok(
        (counters.snapshot().unstored['address-limit'] ?? 0) >= 15,
        'and it is counted',
      )
      t.equal(
        (await resume(port, kept.sessions[0], only(version))).reused,
        true,
        'earlier ones resume',
      )
      const last = await visit({ port, ...only(version) })
      t.match(told(last), { resumed: false, cause: 'none-offered', lineage: undefined })

      address = '2001:db8::1'
      t.equal(await stored(5), 5, 'others are none the worse')
      address = '2001:db8::2'
      const second = await stored(10)
      t.ok(second < 10, 'and a /64 is one of them')
      for (const unlimited of ['127.0.0.1', '::1', '::ffff:127.0.0.1', undefined]) {
        address = unlimited
        t.equal(await stored(5), 5, `${unlimited}`)
      }
      address = '192.0.2.1'
      t.ok((await stored(1)) === 0)
      await time.advance(minute)
      t.equal(await stored(8), 8, 'a minute later it may again')
    },
  )
}

t.test('0 and Infinity limit nobody', t => {
  for (const count of [0, Number.POSITIVE_INFINITY]) {
    const limit = new MintLimit(count)
    for (let n = 0; n < 1000; n += 1) {
      if (!limit.allows({ remoteAddress: '192.0.2.1' }, false, 0)) t.fail(`${count}`)
    }
  }
  t.end()
})

t.test('resumed handshakes count a tenth', t => {
  const limit = new MintLimit(100)
  const many = (reused: boolean) => {
    let allowed = 0
    for (let n = 0; n < 5_000; n += 1) {
      if (limit.allows({ remoteAddress: '192.0.2.1' }, reused, 0)) allowed += 1
    }
    return allowed
  }
  t.equal(many(true), 1_500)
  t.equal(many(false), 0)
  t.end()
})

t.test('an address is asked for only when the member is busy', t => {
  const limit = new MintLimit(100)
  let asked = 0
  const socket = {
    get remoteAddress() {
      asked += 1
      return '192.0.2.1'
    },
  }
  for (let n = 0; n < 50; n += 1) limit.allows(socket, false, 0)
  t.equal(asked, 0)
  limit.allows(socket, false, 0)
  t.equal(asked, 1)
  t.end()
})
