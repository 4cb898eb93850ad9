import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import type { Site } from '../../lib/proxy/options.ts'
import { type FarmProxy, farmProxies } from '../fixtures/proxy/farm.ts'
import { startBackend } from '../fixtures/proxy/servers.ts'
import { isSealed, untilSealed } from '../fixtures/resumption/until-sealed.ts'
import {
  authority,
  clientOf,
  makePair,
  type Pair,
  p256,
} from '../fixtures/tls/certificates.ts'
import { unwrapped } from '../fixtures/tls/client.ts'
import { until } from '../fixtures/until.ts'

type Protocol = 'http/1.1' | 'h2'
type Version = 'TLSv1.2' | 'TLSv1.3'

const protocols: readonly Protocol[] = ['http/1.1', 'h2']
const versions: readonly Version[] = ['TLSv1.2', 'TLSv1.3']

interface VisitOptions {
  readonly version: Version
  readonly protocol: Protocol
  /** Server name of the handshake. */
  readonly name?: string
  /** Host of the request, when it is another. */
  readonly host?: string
  readonly session?: Buffer | undefined
  readonly pair?: Pair
}

interface Visit {
  readonly reused: boolean
  readonly status: number
  readonly text: string
  readonly sessions: readonly Buffer[]
}

/** One connection with one request; stays until the sessions it is due are here. */
async function visit(port: number, options: VisitOptions): Promise<Visit> {
  const { version, protocol, name = 'shop.example', host = name, session, pair } = options
  const given: ConnectionOptions = {
    host: '127.0.0.1',
    port,
    servername: name,
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ALPNProtocols: [protocol],
    ...pair,
    ...(session === undefined ? {} : { session }),
  }
  const socket = connect(given)
  const sessions: Buffer[] = []
  socket.on('session', one => sessions.push(unwrapped(one)))
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  const reused = socket.isSessionReused()
  const { status, text } = await (protocol === 'h2' ? askHttp2 : askHttp1)(socket, host)
  // Of TLS 1.3 two sessions after a full handshake and a new one after each resumption.
  const due = version === 'TLSv1.2' ? (reused ? 0 : 1) : reused ? 1 : 2
  if (status === 200)
    await until(() => sessions.length >= due, 'the sessions that are due')
  socket.destroy()
  return { reused, status, text, sessions }
}

async function askHttp1(socket: TLSSocket, host: string) {
  let answer = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    answer += text
  })
  socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  await until(() => /\r\n\r\n./s.test(answer), 'an answer')
  return { status: Number(answer.slice(9, 12)), text: answer.split('\r\n\r\n')[1] ?? '' }
}

async function askHttp2(socket: TLSSocket, host: string) {
  const session = connectHttp2(`https://${host}`, { createConnection: () => socket })
  session.on('error', () => {})
  const stream = session.request({ ':path': '/' })
  const [headers] = await once(stream, 'response')
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) text += chunk
  return { status: Number(headers[':status']), text }
}

/** Two proxies of one farm, and a backend that says which client certificate it was told. */
async function pairOfProxies(
  t: Test,
  sitesOf: (backends: string[]) => Site[] | Promise<Site[]>,
): Promise<[FarmProxy, FarmProxy]> {
  const { url } = await startBackend(t, (request, response) => {
    response.end(request.headers['client-cert'] === undefined ? 'nobody' : 'certified')
  })
  const sites = await sitesOf([url])
  const proxies = await farmProxies(t, { count: 2, sites: () => sites })
  return proxies as [FarmProxy, FarmProxy]
}

async function lastLine({ log }: FarmProxy, count: number) {
  await until(() => log.requests.length >= count, 'a line in the access log')
  return log.requests.at(-1)
}

for (const version of versions) {
  for (const protocol of protocols) {
    t.test(
      `${version} ${protocol}: every session resumes on the other proxy`,
      async t => {
        const pair = await p256('shop.example')
        const [one, two] = await pairOfProxies(t, backends => [
          { names: ['shop.example'], backends, ...pair },
        ])
        const ask = { version, protocol }
        const first = await visit(one.port, ask)
        t.match(first, { reused: false, status: 200 })
        t.match(await lastLine(one, 1), {
          resumed: 'no',
          cause: 'none-offered',
          tls: version,
          http: protocol === 'h2' ? '2.0' : '1.1',
        })
        let lines = 0
        for (const session of first.sessions) {
          const again = await visit(two.port, { ...ask, session })
          t.match(again, { reused: true, status: 200 })
          lines++
          t.match(await lastLine(two, lines), {
            resumed: /^(local|peer)$/,
            cause: undefined,
          })
          if (version === 'TLSv1.2') continue
          const back = await visit(one.port, { ...ask, session: again.sessions[0] })
          t.equal(back.reused, true, 'and what was minted there resumes here')
        }
        const { resumed, full } = two.farm.stats().handshakes
        t.strictSame({ resumed, full }, { resumed: lines, full: 0 })
      },
    )
  }
}

for (const version of versions) {
  for (const protocol of protocols) {
    t.test(`${version} ${protocol}: no session crosses to a stricter site`, async t => {
      const { cert: ca } = await authority('Staff')
      const pair = await p256('shop.example', 'staff.example')
      const [one, two] = await pairOfProxies(t, backends => [
        { names: ['shop.example'], backends, ...pair },
        {
          names: ['staff.example'],
          backends,
          ...pair,
          clientCa: ca,
          clientCertificate: 'required',
        },
      ])
      const ask = { version, protocol }
      const shop = await visit(one.port, ask)
      const [lax] = shop.sessions
      const crossed = await visit(two.port, {
        ...ask,
        name: 'staff.example',
        session: lax,
      })
      t.match(crossed, { reused: false, status: 403 })
      t.match(await lastLine(two, 1), { resumed: 'no', cause: 'policy', status: 403 })
      const misled = await visit(two.port, {
        ...ask,
        host: 'staff.example',
        session: lax,
      })
      t.match(misled, { reused: true, status: 421 }, 'nor does a request on it')

      const staff = { ...ask, name: 'staff.example', pair: await clientOf('Staff') }
      const proved = await visit(one.port, staff)
      t.match(proved, { reused: false, status: 200, text: /certified/ })
      const [strict] = proved.sessions
      const resumed = await visit(two.port, {
        ...ask,
        name: 'staff.example',
        session: strict,
      })
      t.match(resumed, { reused: true, status: 200, text: /certified/ })
      const back = await visit(two.port, { ...ask, session: strict })
      t.match(back, { reused: false, status: 200, text: /nobody/ }, 'nor the other way')
    })
  }
}

t.test('a new certificate ends the sessions of its site, and of no other', async t => {
  const names = ['shop.example', 'news.example']
  const pair = await p256(...names)
  let sites: Site[] = []
  const proxies = await pairOfProxies(t, backends => {
    sites = names.map(name => ({ names: [name], backends, ...pair }))
    return sites
  })
  const [one, two] = proxies
  for (const version of versions) {
    for (const protocol of protocols) {
      const ask = { version, protocol }
      const shop = await visit(one.port, ask)
      const news = await visit(one.port, { ...ask, name: 'news.example' })
      const renewed = await makePair(names, {})
      sites = [{ ...(sites[0] as Site), ...renewed }, sites[1] as Site]
      for (const { proxy } of proxies) proxy.reload({ sites })
      for (const [name, { sessions }, reused] of [
        ['shop.example', shop, false],
        ['news.example', news, true],
      ] as const) {
        const session = sessions[0]
        const again = await visit(two.port, { ...ask, name, session })
        t.match(again, { reused, status: 200 }, `${version} ${protocol} ${name}`)
        const next = await visit(one.port, {
          ...ask,
          name,
          session: again.sessions[0] ?? session,
        })
        t.equal(next.reused, true, 'what was made since resumes')
      }
      t.ok(two.log.requests.some(({ cause }) => cause === 'policy'))
    }
  }
})

t.test(
  'a site that wants no certificates has sealed tickets beside one that does',
  async t => {
    const { cert: ca } = await authority('Staff')
    const pair = await p256('shop.example', 'staff.example')
    const [one, two] = await pairOfProxies(t, backends => [
      { names: ['shop.example'], backends, ...pair },
      {
        names: ['staff.example'],
        backends,
        ...pair,
        clientCa: ca,
        clientCertificate: 'required',
      },
    ])
    const modern = { version: 'TLSv1.3', protocol: 'http/1.1' } as const
    for (const { port } of [one, two]) await untilSealed(() => visit(port, modern))
    const { records } = one.farm.stats().table
    // Node asks its clients, too, and one may answer.
    for (const certified of [
      undefined,
      await clientOf('Staff'),
      await clientOf('Others'),
    ]) {
      const ask = { ...modern, ...(certified && { pair: certified }) }
      const first = await visit(one.port, ask)
      t.match(first, { reused: false, status: 200, text: /nobody/ })
      t.ok(isSealed(first.sessions[0]), 'nothing is stored')
      const again = await visit(two.port, { ...ask, session: first.sessions[0] })
      t.match(again, { reused: true, status: 200, text: /nobody/ })
      const strict = { ...ask, name: 'staff.example', session: again.sessions[0] }
      t.equal((await visit(one.port, strict)).reused, false)
    }
    const staff = { ...modern, name: 'staff.example', pair: await clientOf('Staff') }
    const stored = await visit(one.port, staff)
    t.ok(one.farm.stats().table.records > records)
    t.equal(
      (await visit(two.port, { ...staff, session: stored.sessions[0] })).reused,
      true,
    )
  },
)

t.test('sites choose: tickets that nothing is stored of, or no resumption', async t => {
  const { cert: ca } = await authority('Staff')
  const names = ['shop.example', 'staff.example', 'off.example']
  const pair = await p256(...names)
  const [one, two] = await pairOfProxies(t, backends => [
    { names: ['shop.example'], backends, ...pair, resumption: 'sealed' },
    {
      names: ['staff.example'],
      backends,
      ...pair,
      resumption: 'sealed',
      clientCa: ca,
      clientCertificate: 'required',
    },
    { names: ['off.example'], backends, ...pair, resumption: 'off' },
  ])
  const certified = await clientOf('Staff')
  const modern = { version: 'TLSv1.3', protocol: 'http/1.1' } as const
  for (const { port } of [one, two]) await untilSealed(() => visit(port, modern))
  let lines = two.log.requests.length
  const { records } = one.farm.stats().table
  for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
    for (const protocol of protocols) {
      const ask = { version, protocol }
      const title = `${version} ${protocol}`
      const first = await visit(one.port, ask)
      t.match(first, { reused: false, status: 200 })
      const again = await visit(two.port, { ...ask, session: first.sessions[0] })
      t.match(again, { reused: true, status: 200 }, title)
      const resumed = version === 'TLSv1.3' ? 'ticket' : /local|peer/
      t.match(await lastLine(two, ++lines), { resumed, cause: undefined })

      const staff = { ...ask, name: 'staff.example' }
      const crossed = await visit(two.port, { ...staff, session: first.sessions[0] })
      t.match(crossed, { reused: false, status: 403 }, `${title} crosses nowhere`)
      const proved = await visit(one.port, { ...staff, pair: certified })
      const known = await visit(two.port, { ...staff, session: proved.sessions[0] })
      t.match(known, { reused: true, status: 200, text: /certified/ }, title)
      lines += 2

      const off = { ...ask, name: 'off.example' }
      const none = await visit(two.port, off)
      const offered = none.sessions[0] ?? first.sessions[0]
      t.match(await visit(two.port, { ...off, session: offered }), {
        reused: false,
        status: 200,
      })
      lines += 2
      t.match(await lastLine(two, lines), { resumed: 'no', cause: 'off' })
    }
    const stored = one.farm.stats().table.records - records
    t.equal(stored > 0, version === 'TLSv1.2', 'nothing is stored of sealed tickets')
  }
})

t.test('plain HTTP gets a 400, and probes are no failed handshakes', async t => {
  const pair = await p256('shop.example')
  const [one] = await pairOfProxies(t, backends => [
    { names: ['shop.example'], backends, ...pair },
  ])
  const say = async (text: string) => {
    const socket = connectTcp(one.port, '127.0.0.1')
    let answer = ''
    socket.on('data', chunk => {
      answer += chunk
    })
    if (text === '') socket.end()
    else socket.write(text)
    await once(socket, 'close')
    return answer
  }
  const request = 'GET /a?b HTTP/1.1\r\nHost: shop.example\r\n\r\n'
  for (const text of [request, `${request}${request}`, request.replace('1.1', '1.0')]) {
    t.match(
      await say(text),
      /^HTTP\/1\.1 400 [\s\S]*\r\nConnection: close\r\n[\s\S]*HTTPS/,
    )
  }
  const upload = `PUT / HTTP/1.1\r\nContent-Length: 700000\r\n\r\n${'x'.repeat(700_000)}`
  t.match(await say(upload), /^HTTP\/1\.1 400 /)
  t.equal(await say(''), '')
  await until(() => one.proxy.stats().connections === 0)
  t.match(one.farm.stats().handshakes, {
    failed: 0,
    full: 0,
    causes: { 'not-tls:plain-http': 4, 'not-tls:probe': 1 },
  })
  t.equal(one.log.requests.length, 0)
  const usual = { version: 'TLSv1.3', protocol: 'h2' } as const
  t.match(await visit(one.port, usual), { status: 200 })
})
