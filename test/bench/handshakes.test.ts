import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer, connect as tlsConnect } from 'node:tls'
import t, { type Test } from 'tap'
import type { BenchmarkContext } from '../../bench/benchmark.ts'
import {
  identityNames,
  makeIdentities,
  serverName,
} from '../../bench/certificates/identity.ts'
import type { Effort } from '../../bench/handshake/cell.ts'
import { measureCells } from '../../bench/handshake/measure-cells.ts'
import { failuresOf } from '../../bench/handshake/measurement.ts'
import { outcomeOf } from '../../bench/handshake/outcome.ts'
import { allScenarios, scenarioName } from '../../bench/handshake/scenario.ts'
import { SessionJar } from '../../bench/handshake/session-jar.ts'
import { Calibration } from '../../bench/harness/calibration.ts'
import { Progress } from '../../bench/harness/progress.ts'
import { startRelay } from '../../bench/relay/relay.ts'
import { checkReport } from '../../bench/report/check-report.ts'
import { reportVersion } from '../../bench/report/report.ts'
import { handfast, handfastStateful, nodeOwn } from '../../bench/systems/node-systems.ts'
import type { System } from '../../bench/systems/system.ts'

const small: Effort = { rounds: 2, single: 4, loaded: 16, concurrency: 2, warmUp: 2 }

t.test('the smallest scenario, for real: two members resume for each other', async t => {
  const context = await contextFor(t)
  const scenario = scenarioNamed('resume-cross-1.3-p256-stateful')
  const full = scenarioNamed('full-1.3-p256-stateful')
  const chain = scenarioNamed('chain-1.3-p256-stateful')
  const measured = await measureCells(
    [scenario, full, chain].map(one => ({
      scenario: one,
      system: handfastStateful,
      members: 2,
      rtt: 0,
    })),
    small,
    context,
  )
  const result = outcomeOf('smallest', measured)
  t.same(result.failures, [], 'client and servers agree that all were resumed')
  t.same(
    checkReport({
      schema: 'handfast-bench',
      version: reportVersion,
      startedAt: new Date(0).toISOString(),
      seconds: 0,
      quick: true,
      seed: context.seed,
      machine: {
        cpu: '',
        cores: 1,
        memoryGiB: 1,
        system: '',
        node: '',
        openssl: '',
        loadBefore: 0,
      },
      calibration: context.calibration.verdict,
      benchmarks: [result],
    }),
    [],
  )
  const [resumed, fully] = result.measurements
  t.equal(resumed?.measures['resumed']?.median, 1)
  t.equal(fully?.measures['resumed']?.median, 0)
  const received = (row: typeof resumed): number =>
    row?.measures['bytesReceived']?.median ?? 0
  t.ok(received(resumed) > 100, 'bytes are counted under TLS')
  t.ok(received(resumed) < received(fully), 'and there are fewer without a certificate')
})

t.test('a system that must resume and does not is a failure', async t => {
  const context = await contextFor(t)
  // Each of these processes knows its own sessions only.
  const { alone: _, ...forgetful } = nodeOwn
  const measured = await measureCells(
    [
      {
        scenario: scenarioNamed('resume-cross-1.2-p256-id'),
        system: forgetful,
        members: 2,
        rtt: 0,
      },
    ],
    small,
    context,
  )
  t.same(failuresOf(measured.results), [
    'resume-cross-1.2-p256-id node-own: 0 of 48 handshakes were resumed',
  ])
})

t.test(
  'a system that is not installed or does not start is skipped with a line',
  async t => {
    const context = await contextFor(t)
    const absent: System = {
      ...handfast,
      name: 'absent',
      missing: () => 'no such program',
    }
    const broken: System = {
      ...handfast,
      name: 'broken',
      mustResume: false,
      start: async () => {
        throw new Error('it fell over')
      },
    }
    const scenario = scenarioNamed('full-1.2-p256-id')
    const { results, skipped } = await measureCells(
      [absent, broken].map(system => ({ scenario, system, members: 2, rtt: 0 })),
      small,
      context,
    )
    t.same(results, [])
    t.same(skipped, ['absent: no such program', 'broken (p256): it fell over'])
  },
)

t.test('every scenario has a name of its own', async t => {
  const names = allScenarios().map(scenarioName)
  t.equal(names.length, 64)
  t.equal(new Set(names).size, names.length)
})

t.test('a TLS 1.3 ticket leaves the jar once, a TLS 1.2 session stays', async t => {
  const [a, b, c] = ['a', 'b', 'c'].map(text => Buffer.from(text)) as [
    Buffer,
    Buffer,
    Buffer,
  ]
  const tickets = new SessionJar(true)
  tickets.put([a, b], 0)
  t.same(tickets.take(), { session: b, member: 0 }, 'newest first')
  tickets.put([c], 1)
  t.same(
    [tickets.take(), tickets.take(), tickets.take()],
    [{ session: c, member: 1 }, { session: a, member: 0 }, undefined],
  )
  const session = new SessionJar(false)
  session.put([a], 0)
  session.take()
  t.same(session.take(), { session: a, member: 0 })
  session.put([], 1)
  t.same(session.take(), { session: a, member: 0 }, 'no new one: the old one stays')
  session.put([b], 1)
  t.same(session.take(), { session: b, member: 1 })
})

for (const name of identityNames) {
  t.test(`the certificates of ${name} are what clients and servers accept`, async t => {
    const { server, client, ca } = makeIdentities(name)
    const listener = createTlsServer({
      ...server,
      ...(client && { ca: client.ca, requestCert: true, rejectUnauthorized: true }),
    })
    listener.on('secureConnection', socket => socket.end('served'))
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    t.teardown(() => listener.close())
    const { port } = listener.address() as AddressInfo
    const socket = tlsConnect({
      port,
      host: '127.0.0.1',
      servername: serverName,
      ca,
      ...(client && { key: client.key, cert: client.cert }),
    })
    t.teardown(() => socket.destroy())
    const [text] = await once(socket.setEncoding('utf8'), 'data')
    t.equal(text, 'served')
    t.equal(socket.authorized, true)
    const shown = server.cert.split('BEGIN CERTIFICATE').length - 1
    t.equal(shown, name === 'chain3' ? 3 : 1)
  })
}

t.test('the relay passes every byte on, in order, after its delay', async t => {
  const echo = createServer({ allowHalfOpen: true }, socket => socket.pipe(socket))
  echo.listen(0, '127.0.0.1')
  await once(echo, 'listening')
  t.teardown(() => echo.close())
  const rtt = 30
  const relay = await startRelay([(echo.address() as AddressInfo).port], rtt)
  t.teardown(() => relay.close())
  const began = performance.now()
  const socket = connect({ port: relay.ports[0] as number, host: '127.0.0.1' })
  const sent = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251))
  const received: Buffer[] = []
  let first = 0
  socket.on('data', chunk => {
    first ||= performance.now() - began
    received.push(chunk)
  })
  for (let at = 0; at < sent.length; at += 7_000) {
    socket.write(sent.subarray(at, at + 7_000))
    await new Promise(resolve => setImmediate(resolve))
  }
  socket.end()
  await once(socket, 'end')
  t.ok(Buffer.concat(received).equals(sent))
  t.ok(first >= 2 * rtt - 5, 'one round trip for TCP and one for the bytes')
})

async function contextFor(t: Test): Promise<BenchmarkContext> {
  const folder = await mkdtemp(join(tmpdir(), 'handfast-bench-test-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return {
    quick: true,
    seed: 1,
    members: 2,
    rtts: [],
    showConfig: false,
    folder,
    progress: new Progress({ write: () => true }),
    calibration: new Calibration(),
    print: () => {},
  }
}

function scenarioNamed(name: string): ReturnType<typeof allScenarios>[number] {
  const found = allScenarios().find(one => scenarioName(one) === name)
  if (found === undefined) throw new Error(`no scenario ${name}`)
  return found
}
