import t, { type Test } from 'tap'
import { formatAddress } from '../../lib/address.ts'
import { Cache } from '../../lib/cache/cache.ts'
import { peersTier } from '../../lib/cache/peers-tier.ts'
import { systemClock } from '../../lib/clock.ts'
import { EngineTransport } from '../../lib/farm/engine-transport.ts'
import { LinkChannel } from '../../lib/farm/link/link-channel.ts'
import { silentLog } from '../../lib/log.ts'
import { HybridClock } from '../../lib/record/hybrid-clock.ts'
import { ticketBoard } from '../../lib/resumption/ticket/ticket-board.ts'
import { installTicketKeys } from '../../lib/resumption/ticket/ticket-install.ts'
import { TicketRing } from '../../lib/resumption/ticket/ticket-ring.ts'
import { MapTable } from '../fixtures/map-table.ts'
import { listening, tellingServer } from '../fixtures/servers.ts'
import { visit } from '../fixtures/tls-client.ts'

const secret = Buffer.alloc(32, 5)
/** Seconds instead of hours, and yet long enough for a machine that does other things too. */
const times = {
  period: 2_000,
  acceptFor: 20_000,
  spread: 200,
  settle: 600,
  lateSpread: 100,
  refresh: 500,
}

interface Member {
  readonly ring: TicketRing
  readonly address: string
  readonly port: number
}

/** A member on real sockets: its farm stream, its ring, an https server. */
async function member(
  t: Test,
  number: number,
  known: readonly string[],
): Promise<Member> {
  const table = new MapTable({ clock: systemClock })
  const versions = new HybridClock(systemClock, number)
  const cache = new Cache({ table, versions, clock: systemClock })
  const common = {
    replica: cache,
    clock: systemClock,
    log: silentLog,
    farmName: 'tickets',
    secret,
  }
  const listen = { host: '127.0.0.1', port: 0 }
  const channel = new LinkChannel({ ...common, listen, members: known }, 'stream')
  const transport = new EngineTransport({
    ...common,
    channel,
    memberId: channel.id,
    transport: 'stream',
  })
  cache.extend(peersTier(transport))
  const board = ticketBoard(cache)
  await cache.open()
  const ring = new TicketRing({
    board,
    secret,
    farmName: 'tickets',
    clock: systemClock,
    log: silentLog,
    times,
    interval: 20,
  })
  await ring.start()
  const server = await tellingServer({ sessionIdContext: 'tickets' })
  installTicketKeys(server, ring, silentLog)
  const port = await listening(t, server)
  t.teardown(async () => {
    ring.close()
    await cache.close()
  })
  if (channel.listening === undefined) throw new Error('the member does not listen')
  return { ring, port, address: formatAddress(channel.listening) }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

t.test(
  'over the farm: rotations lose nothing, a joiner knows, withdrawals tell',
  async t => {
    const first = await member(t, 1, [])
    const members = [first, await member(t, 2, [first.address])]
    members.push(await member(t, 3, [first.address]))
    await until('all share', () => members.every(({ ring }) => ring.status().shared))

    const began = first.ring.status().epoch
    let tried = 0
    const lost: string[] = []
    while (first.ring.status().epoch < began + 3) {
      const from = members[tried % 3] as Member
      const to = members[(tried + 1 + (tried % 2)) % 3] as Member
      const [session] = (await visit({ port: from.port })).sessions
      const { reused } = await visit({ port: to.port, session })
      if (!reused) lost.push(`${from.port} -> ${to.port} after ${tried}`)
      tried += 1
    }
    t.same(lost, [])
    t.ok(tried > 10, `${tried} resumptions over three rotations`)

    const [held] = (await visit({ port: first.port })).sessions
    const joiner = await member(t, 4, [first.address])
    t.ok(
      (await visit({ port: joiner.port, session: held })).reused,
      'on a joiner, at once',
    )
    const [its] = (await visit({ port: joiner.port })).sessions
    t.ok((await visit({ port: first.port, session: its })).reused)
    members.push(joiner)

    const names = members.map(({ ring }) => Buffer.from(ring.encrypting().name))
    t.ok(await members[1]?.ring.withdrawAll(), 'every member was told')
    await until('withdrawn everywhere', () =>
      members.every(({ ring }) =>
        names.every(name => ring.decrypting(name) === undefined),
      ),
    )
    t.equal((await visit({ port: first.port, session: held })).reused, false)
  },
)
