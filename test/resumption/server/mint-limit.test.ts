import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { mintRoom } from '../../../lib/member/mint-room.ts'
import { HybridClock } from '../../../lib/record/hybrid-clock.ts'
import { tables } from '../../../lib/record/key.ts'
import { MintLimit } from '../../../lib/resumption/server/mint-limit.ts'
import { OffHeapTable } from '../../../lib/table/off-heap-table.ts'
import { ManualClock } from '../../fixtures/manual-clock.ts'
import { SimulatedTime } from '../../fixtures/resumption/ticket-farm.ts'
import {
  only,
  resume,
  resumptionOver,
  told,
  versions,
} from '../../fixtures/resumption/world.ts'
import { visit } from '../../fixtures/tls/client.ts'
import { listening, tellingServer } from '../../fixtures/tls/servers.ts'

const minute = 60_000
const session = Buffer.alloc(200)

function byNumber(perMinute: number): MintLimit {
  return new MintLimit({ perMinute, room: () => 0, sessionTimeout: 60 * minute })
}

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
    const limit = byNumber(count)
    for (let n = 0; n < 1000; n += 1) {
      if (!limit.allows({ remoteAddress: '192.0.2.1' }, false, 0, session))
        t.fail(`${count}`)
    }
  }
  t.end()
})

t.test('resumed handshakes count a tenth', t => {
  const limit = byNumber(100)
  const many = (reused: boolean) => {
    let allowed = 0
    for (let n = 0; n < 5_000; n += 1) {
      if (limit.allows({ remoteAddress: '192.0.2.1' }, reused, 0, session)) allowed += 1
    }
    return allowed
  }
  t.equal(many(true), 1_500)
  t.equal(many(false), 0)
  t.end()
})

t.test('an address is asked for only when the member is busy', t => {
  const limit = byNumber(100)
  let asked = 0
  const socket = {
    get remoteAddress() {
      asked += 1
      return '192.0.2.1'
    },
  }
  for (let n = 0; n < 50; n += 1) limit.allows(socket, false, 0, session)
  t.equal(asked, 0)
  limit.allows(socket, false, 0, session)
  t.equal(asked, 1)
  t.end()
})

t.test('however long one network floods, it evicts nobody', async t => {
  for (const [members, megabytes] of [
    [1, 4],
    [3, 4],
    [1, 16],
  ] as const) {
    const clock = new ManualClock()
    const maxBytes = megabytes * 1024 * 1024
    const table = new OffHeapTable({ clock, maxBytes })
    const life = 60 * minute
    const limits = Array.from(
      { length: members },
      () =>
        new MintLimit({
          perMinute: undefined,
          room: mintRoom(table, () => members, clock),
          sessionTimeout: life,
        }),
    )
    const versions = new HybridClock(clock, 1)
    let id = 0
    const put = () => {
      const key = Buffer.alloc(32)
      key.writeUInt32BE(id++)
      const value = Buffer.alloc(session.length + 150)
      const expiresAt = clock.now() + life
      const record = { table: tables.session, key, value, tombstone: false }
      return table.put({ ...record, version: versions.tick(), expiresAt })
        ? key
        : undefined
    }
    const visit = (remoteAddress: string, limit = limits[0] as MintLimit) =>
      limit.allows({ remoteAddress }, false, clock.monotonic(), session)
        ? put()
        : undefined
    let kept: (Buffer | undefined)[] = []
    let stored = 0
    for (let at = 0; at < 3 * 60; at += 1) {
      if (at % 59 === 0) {
        const gone = kept.filter(key => !key || !table.get(tables.session, key))
        t.equal(gone.length, 0, `${members} members, ${megabytes} MiB, minute ${at}`)
        kept = Array.from({ length: 300 }, (_, i) => visit(`192.0.2.${i % 200}`))
        t.notOk(kept.includes(undefined), 'others are stored')
      }
      // More than it may, at each member.
      for (const limit of limits) {
        for (let i = 0; i < 600; i += 1) if (visit('198.51.100.1', limit)) stored += 1
      }
      clock.advance(minute)
    }
    t.equal(table.stats().evicted, 0)
    t.ok(stored * 400 > maxBytes, `${stored} of it were stored`)
    table.close()
  }
})
