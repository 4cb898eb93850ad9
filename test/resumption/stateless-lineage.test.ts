import { createSecureContext } from 'node:tls'
import t, { type Test } from 'tap'
import { parseClientHello } from '../../lib/resumption/hello/client-hello.ts'
import { HelloReader } from '../../lib/resumption/hello/hello-reader.ts'
import type { Policy } from '../../lib/resumption/session/policy.ts'
import { StatelessContexts } from '../../lib/resumption/ticket/stateless-contexts.ts'
import { timesWithin } from '../../lib/resumption/ticket/ticket-schedule.ts'
import { captureHello } from '../fixtures/hello.ts'
import { seededRandom } from '../fixtures/random.ts'
import {
  only,
  resume,
  resumptionOver,
  told,
  versions,
} from '../fixtures/resumption-world.ts'
import { certificateFor, listening, tellingServer } from '../fixtures/servers.ts'
import { recordingLog, SimulatedFarm, SimulatedTime } from '../fixtures/ticket-farm.ts'
import { visit } from '../fixtures/tls-client.ts'

const hour = 3_600_000
const day = 24 * hour

/** Members that share a ring of keys, each with a server, and a clock of the test's own. */
async function statelessMembers(
  t: Test,
  {
    count = 2,
    lineageTimeout = day,
    names = [] as string[],
    isCut = (): boolean => false,
  } = {},
) {
  const time = new SimulatedTime(Date.UTC(2026, 2, 1, 4))
  const log = recordingLog()
  const times = timesWithin(lineageTimeout)
  const options = { time, random: seededRandom(11), log, times, interval: 20_000 }
  const farm = new SimulatedFarm(options)
  const ports: number[] = []
  for (let i = 0; i < count; i += 1) {
    const { ring, clock } = await farm.join()
    const ticketKeys = Object.assign(Object.create(ring), {
      prepare() {},
      encrypting: ring.encrypting.bind(ring),
      decrypting: ring.decrypting.bind(ring),
      onChange: ring.onChange.bind(ring),
    })
    const { resumption } = resumptionOver({}, { ticketKeys, clock, isCut })
    const server = await tellingServer()
    const pair = await certificateFor('localhost')
    for (const name of names) server.addContext(name, pair)
    resumption.attach(server, { resumption: 'stateless' })
    ports.push(await listening(t, server))
    t.teardown(() => resumption.close())
  }
  t.teardown(() => {
    for (const { ring } of farm.members) ring.close()
  })
  await time.advance(2 * (times.period ?? 0))
  return { time, farm, ports, log }
}

for (const version of versions) {
  for (const [words, lineageTimeout] of [
    ['a day', day],
    ['three hours', 3 * hour],
  ] as const) {
    t.test(`${version}: a chain of tickets ends with a lineage of ${words}`, async t => {
      const { time, ports } = await statelessMembers(t, { lineageTimeout })
      const [a] = ports as [number]
      const step = lineageTimeout / 72
      const lengths: number[] = []
      let born = time.now
      let { sessions } = await visit({ port: a, ...only(version) })
      for (let n = 1; n <= 3 * 72; n += 1) {
        await time.advance(step)
        const port = ports[n % ports.length] as number
        const next = await resume(port, sessions.at(-1), only(version))
        if (!next.reused) {
          lengths.push(time.now - born)
          born = time.now
        }
        if (next.sessions.length > 0) sessions = next.sessions
      }
      t.ok(lengths.length >= 3, `${lengths.length} chains came to their end`)
      for (const length of lengths) {
        t.ok(length <= lineageTimeout + step, 'none later than the lineage')
        t.ok(length > (lineageTimeout * 2) / 3 - step, 'and none long before it')
      }
    })
  }

  t.test(
    `${version}: a ticket resumes under the name that it was made under`,
    async t => {
      const { ports } = await statelessMembers(t, { names: ['c.test', '*.d.test'] })
      const [a, b] = ports as [number, number]
      // No client may send an empty server_name: without one there is none.
      const names = ['a.test', 'b.test', 'c.test', 'x.d.test', 'y.d.test', '']
      const at = (servername: string) => ({ servername, ...only(version) })
      for (const from of names) {
        for (const to of names) {
          const { sessions } = await visit({ port: a, ...at(from) })
          const back = await resume(b, sessions[0], at(to))
          t.equal(back.reused, from === to, `${from || 'none'} -> ${to || 'none'}`)
          t.match(told(back), from === to ? { resumed: 'ticket' } : { cause: 'unknown' })
        }
      }
      const { sessions } = await visit({ port: a, ...at('a.test') })
      const loud = await resume(b, sessions[0], at('A.TEST'))
      t.equal(loud.reused, true, 'names have no case')
    },
  )

  t.test(
    `${version}: names without end cost neither memory nor a connection`,
    async t => {
      const { ports, time } = await statelessMembers(t, { count: 1 })
      const [port] = ports as [number]
      const at = (servername: string) => ({ servername, ...only(version) })
      const early = await visit({ port, ...at('early.test') })
      for (let n = 0; n < 200; n += 1) await visit({ port, ...at(`${n}.test`) })
      const late = await visit({ port, ...at('late.test') })
      const again = await resume(port, late.sessions[0], at('late.test'))
      t.match(told(again), { resumed: false, cause: 'unknown', serverName: 'late.test' })
      t.equal((await resume(port, early.sessions[0], at('early.test'))).reused, true)
      await time.advance(1_000)
      const later = await visit({ port, ...at('late.test') })
      t.equal((await resume(port, later.sessions[0], at('late.test'))).reused, true)
    },
  )
}

for (const version of versions) {
  t.test(`${version}: no ticket resumes while a revocation could be unheard`, async t => {
    let cut = false
    const { ports } = await statelessMembers(t, { isCut: () => cut })
    const [a, b] = ports as [number, number]
    const first = await visit({ port: a, ...only(version) })
    cut = true
    const offered = await resume(b, first.sessions[0], only(version))
    t.match(told(offered), { resumed: false, cause: 'partition' })
    const fresh = await visit({ port: b, ...only(version) })
    t.match(told(fresh), { resumed: false, cause: 'none-offered' })
    cut = false
    const session = first.sessions.at(-1)
    t.match(told(await resume(b, session, only(version))), { resumed: 'ticket' })
    t.match(told(await resume(a, fresh.sessions[0], only(version))), {
      resumed: 'ticket',
    })
  })
}

t.test('contexts are few, and those of dead keys go', async t => {
  const time = new SimulatedTime(Date.UTC(2026, 2, 1, 4))
  const log = recordingLog()
  const options = { time, random: seededRandom(5), log, interval: 20_000 }
  const { ring, clock } = await new SimulatedFarm(options).join()
  t.teardown(() => ring.close())
  await time.advance(day)
  const pair = await certificateFor('localhost')
  let made = 0
  const makeContext = () => {
    made += 1
    return createSecureContext(pair)
  }
  const contexts = new StatelessContexts({
    keys: ring,
    clock,
    log,
    makeContext,
    most: 20,
  })
  const reader = new HelloReader()
  const read = reader.push(await captureHello({ rejectUnauthorized: false }))
  if (typeof read === 'string') throw new Error(read)
  const policy: Policy = {
    mode: 'stateless',
    hash: Buffer.alloc(16),
    certificateHash: Buffer.alloc(16),
    clientRequired: false,
  }
  const of = (serverName: string) => contexts.of(policy, { ...read, serverName })
  const first = of('0.test')
  t.ok(first)
  for (let n = 1; n <= 100; n += 1) {
    of(`${n}.test`)
    t.equal(of('0.test'), first, 'what is in use stays')
  }
  t.equal(contexts.size, 20)
  for (let n = 101; n <= 400; n += 1) of(`${n}.test`)
  t.equal(made, 200, 'and they are not made without end')
  t.equal(of('unlucky.test'), undefined)
  await time.advance(day + 8 * hour)
  t.equal(contexts.size, 0, 'none is left of a day ago')
  t.ok(of('lucky.test'))
  contexts.clear()
  t.equal(contexts.size, 0)
})

t.test('a hello tells which ticket of TLS 1.2 it brings', async t => {
  t.equal(parseClientHello(Buffer.alloc(10)), undefined)
  const { ports } = await statelessMembers(t, { count: 1 })
  const [port] = ports as [number]
  const { sessions } = await visit({ port, ...only('TLSv1.2') })
  const offer = { rejectUnauthorized: false, session: sessions[0], ...only('TLSv1.2') }
  const reader = new HelloReader()
  const hello = reader.push(await captureHello(offer as object))
  if (typeof hello === 'string') throw new Error(hello)
  t.ok((hello.ticket?.length ?? 0) > 100)
  t.ok(sessions[0]?.includes(hello.ticket as Buffer))
  const none = new HelloReader().push(await captureHello({ rejectUnauthorized: false }))
  t.match(none, { ticket: undefined })
})
