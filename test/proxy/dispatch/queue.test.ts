import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Agent, get, request } from 'node:https'
import t from 'tap'
import type { Site } from '../../../lib/proxy/options.ts'
import { backendFigures } from '../../fixtures/proxy/backend-figures.ts'
import {
  defaultSite,
  startBackend,
  startProxy,
  type Teardown,
} from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly path: string
}

/** A proxy before a backend that answers when it is told to, with room for `maxRequests`. */
async function world(
  t: Teardown,
  more: Partial<Site>,
  limits: Record<string, number> = {},
  maxRequests = 1,
) {
  const waiting: { path: string; response: ServerResponse }[] = []
  const served: string[] = []
  const { url } = await startBackend(t, (request, response) => {
    served.push(request.url ?? '')
    waiting.push({ path: request.url ?? '', response })
  })
  const site = await defaultSite([url])
  const { proxy, port, log } = await startProxy(t, {
    sites: [{ ...site, ...more, backends: [{ url, maxRequests }] }],
    limits: { clientShare: 100, queueTimeout: 20_000, ...limits },
  })
  const agent = new Agent({ keepAlive: true, rejectUnauthorized: false })
  t.teardown(() => agent.destroy())
  const ask = (path: string, headers = {}, from?: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const options = {
        host: 'localhost',
        port,
        path,
        headers,
        agent,
        localAddress: from,
      }
      const asked = get(options, response => {
        response.resume()
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            retryAfter: response.headers['retry-after'],
            path,
          }),
        )
      })
      asked.on('error', reject)
    })
  const answerNext = async (): Promise<void> => {
    await until(() => waiting.length > 0, 'a request at the backend')
    waiting.shift()?.response.end('ok')
  }
  /** How many wait in the line. */
  const inLine = (): number => backendFigures(proxy, url).waiting
  return { ask, answerNext, served, waiting, log, port, inLine }
}

t.test('a request waits for a backend that has no room, and is served then', async t => {
  const { ask, answerNext, served } = await world(t, {})
  const answers = ['/1', '/2', '/3'].map(path => ask(path))
  for (let i = 0; i < 3; i++) await answerNext()
  t.strictSame(
    (await Promise.all(answers)).map(({ status }) => status),
    [200, 200, 200],
  )
  t.equal(served.length, 3)
})

t.test('one that has waited too long hears when to come again', async t => {
  const { ask, answerNext, log } = await world(t, {}, { queueTimeout: 150 })
  const first = ask('/first')
  const { status, retryAfter } = await ask('/late')
  t.equal(status, 503)
  t.equal(retryAfter, '1')
  await until(() => log.requests.some(({ error }) => error === 'queue-timeout'), 'a line')
  await answerNext()
  t.equal((await first).status, 200)
})

t.test('the line has a bound, and 0 is no line at all', async t => {
  const { ask, answerNext, waiting } = await world(t, {}, { maxQueued: 2 })
  const first = ask('/first')
  await until(() => waiting.length === 1)
  const refused: Answer[] = []
  const others = ['/a', '/b', '/c', '/d'].map(async path => {
    const answer = await ask(path)
    if (answer.status !== 200) refused.push(answer)
    return answer
  })
  await until(() => refused.length === 2, 'two are turned away')
  for (const { status, retryAfter } of refused) {
    t.equal(status, 503)
    t.equal(retryAfter, '1')
  }
  for (let i = 0; i < 3; i++) await answerNext()
  await first
  const statuses = (await Promise.all(others)).map(({ status }) => status).sort()
  t.strictSame(statuses, [200, 200, 503, 503])

  const none = await world(t, {}, { queueTimeout: 0 })
  const held = none.ask('/held')
  await until(() => none.waiting.length === 1)
  t.equal((await none.ask('/now')).status, 503)
  await none.answerNext()
  await held
})

t.test(
  'a line that is full of what can wait keeps nobody out that goes first',
  async t => {
    const limits = { maxQueued: 3, clientShare: 90 }
    const { ask, answerNext, served, waiting, inLine } = await world(
      t,
      {
        routes: [
          { match: { path: '/pay' }, queue: { priority: 'high' } },
          { match: { path: '/report' }, queue: { priority: 'low' } },
        ],
      },
      limits,
    )
    const first = ask('/first')
    await until(() => waiting.length === 1)
    const reports: Promise<Answer>[] = []
    for (let i = 1; i <= 3; i++) {
      reports.push(ask(`/report/${i}`))
      await until(() => inLine() === i, `${i} wait`)
    }
    const paid = ask('/pay')
    const { status, retryAfter, path } = await Promise.race(reports)
    t.strictSame([status, retryAfter, path], [503, '1', '/report/3'])
    t.equal((await ask('/report/4')).status, 503, 'its equals find the line full')
    for (let i = 0; i < 4; i++) await answerNext()
    await first
    t.equal((await paid).status, 200)
    const statuses = (await Promise.all(reports)).map(({ status }) => status)
    t.strictSame(statuses, [200, 200, 503])
    t.strictSame(served, ['/first', '/pay', '/report/1', '/report/2'])
  },
)

t.test('forbidden: one network that takes the whole line by going first', async t => {
  const { ask, answerNext, waiting, inLine } = await world(
    t,
    {
      routes: [
        { match: { path: '/pay' }, queue: { priority: 'high' } },
        { match: { path: '/report' }, queue: { priority: 'low' } },
      ],
    },
    { maxQueued: 5, clientShare: 80 },
  )
  const first = ask('/first')
  await until(() => waiting.length === 1)
  const reports = [ask('/report', {}, '127.0.0.2')]
  await until(() => inLine() === 1)
  reports.push(ask('/report', {}, '127.0.0.2'))
  await until(() => inLine() === 2)
  const payments: Promise<Answer>[] = []
  for (let i = 0; i < 3; i++) {
    payments.push(ask('/pay', {}, '127.0.0.3'))
    await until(() => inLine() === 3 + i)
  }
  payments.push(ask('/pay', {}, '127.0.0.3'))
  t.equal((await Promise.race(reports)).status, 503, 'the last that can wait')
  t.equal((await ask('/pay', {}, '127.0.0.3')).status, 503, 'it has four fifths')
  payments.push(ask('/pay', {}, '127.0.0.4'))
  const statuses = (await Promise.all(reports)).map(({ status }) => status)
  t.strictSame(statuses, [503, 503], 'another one has room')
  for (let i = 0; i < 6; i++) await answerNext()
  const served = await Promise.all([first, ...payments])
  t.ok(served.every(({ status }) => status === 200))
})

t.test('a backend that is well but full is waited for', async t => {
  const [full, bad, backup] = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const waiting: ServerResponse[] = []
      const { url } = await startBackend(t, (_request, response) => {
        waiting.push(response)
      })
      return { url, waiting }
    }),
  )
  if (full === undefined || bad === undefined || backup === undefined) return
  const site = await defaultSite([full.url])
  const { proxy, port } = await startProxy(t, {
    sites: [
      {
        ...site,
        backends: [
          { url: full.url, maxRequests: 1 },
          bad.url,
          { url: backup.url, backup: true },
        ],
        health: { panic: 0, eject: { badAnswers: 1, time: 3_600_000 } },
      },
    ],
    limits: { queueTimeout: 20_000 },
  })
  const post = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const options = { host: 'localhost', port, method: 'POST', agent: false as const }
      const asked = request({ ...options, rejectUnauthorized: false }, response => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
      })
      asked.on('error', reject)
      asked.end()
    })
  const first = post()
  const second = post()
  await until(() => full.waiting.length === 1 && bad.waiting.length === 1)
  bad.waiting.shift()?.writeHead(503).end()
  // Which of them that was is a matter of whose turn it was.
  await Promise.race([first, second])
  const third = post()
  await until(() => backendFigures(proxy, full.url).waiting === 1, 'it waits')
  full.waiting.shift()?.end()
  await until(() => full.waiting.length === 1, 'its turn')
  full.waiting.shift()?.end()
  t.equal(await third, 200)
  t.strictSame((await Promise.all([first, second])).sort(), [200, 503])
  t.strictSame([bad.waiting.length, backup.waiting.length], [0, 0])
})

/** A proxy before a backend with room for one request, and a backup. */
async function beforeBackup(
  t: Teardown,
  first: string,
  limits: Record<string, number>,
  more: Partial<Site> = {},
) {
  const backup = await startBackend(t, (_request, response) => response.end('backup'))
  const backends = [
    { url: first, maxRequests: 1 },
    { url: backup.url, backup: true },
  ]
  const site = { ...(await defaultSite([first])), ...more, backends }
  return { backup, ...(await startProxy(t, { sites: [site], limits })) }
}

t.test('where nobody waits for a full backend a backup is asked', async t => {
  const held: ServerResponse[] = []
  const full = await startBackend(t, (_request, response) => void held.push(response))
  const limits = { queueTimeout: 0, maxTunnels: 1, clientShare: 100 }
  const { backup, proxy, port } = await beforeBackup(t, full.url, limits)
  for (const { server } of [full, backup])
    server.on('upgrade', (_request, socket) => {
      socket.on('error', () => {})
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n')
      socket.write('Upgrade: websocket\r\n\r\n')
    })
  const ask = (headers: Record<string, string> = {}): Promise<number> =>
    new Promise((resolve, reject) => {
      const asked = request({
        host: 'localhost',
        port,
        headers,
        rejectUnauthorized: false,
      })
      asked.on('response', response => resolve(response.resume().statusCode ?? 0))
      asked.on('upgrade', ({ statusCode = 0 }, socket) => {
        t.teardown(() => socket.destroy())
        resolve(statusCode)
      })
      asked.on('error', reject).end()
    })
  const upgrade = {
    ...{ Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' },
    'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  }
  t.strictSame(
    [await ask(upgrade), await ask(upgrade), await ask(upgrade)],
    [101, 101, 503],
  )
  const tunnels = [full, backup].map(({ url }) => backendFigures(proxy, url).webSockets)
  t.strictSame(tunnels, [1, 1])
  const first = ask()
  await until(() => held.length === 1)
  t.equal(await ask(), 200, 'of the backup')
  held[0]?.end()
  t.equal(await first, 200)
})

t.test('who waits for a backend that is found down goes to another', async t => {
  let sick = false
  const held: ServerResponse[] = []
  const hung = await startBackend(t, (request, response) => {
    if (request.url === '/health') response.writeHead(sick ? 503 : 200).end()
    else held.push(response)
  })
  const limits = { queueTimeout: 20_000 }
  const { proxy, port } = await beforeBackup(t, hung.url, limits, {
    health: { check: { path: '/health', interval: 10, fall: 1 } },
  })
  const agent = new Agent({ keepAlive: true, rejectUnauthorized: false })
  t.teardown(() => agent.destroy())
  const ask = (): Promise<number> =>
    new Promise((resolve, reject) => {
      get({ host: 'localhost', port, agent }, response => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
      }).on('error', reject)
    })
  const first = ask()
  await until(() => held.length === 1)
  const waiting = [ask(), ask()]
  await until(() => backendFigures(proxy, hung.url).waiting === 2, 'they wait')
  sick = true
  t.strictSame(await Promise.all(waiting), [200, 200])
  t.equal(backendFigures(proxy, hung.url).waiting, 0)
  held[0]?.end()
  t.equal(await first, 200)
  t.equal(held.length, 1)
})

t.test('priorities of routes and classes: by path, by header', async t => {
  const { ask, answerNext, served, waiting, inLine } = await world(t, {
    routes: [
      { match: { path: '/pay' }, queue: { priority: 'high' } },
      { match: { path: '/report' }, queue: { priority: 'low' } },
    ],
    queue: { classes: [{ headers: { 'X-Tier': 'gold' }, priority: 'high' }] },
  })
  const answers = [ask('/first')]
  await until(() => waiting.length === 1)
  // One after the other, so that who came first is known.
  const paths = ['/report', '/page', '/gold', '/pay']
  for (const [i, path] of paths.entries()) {
    answers.push(ask(path, path === '/gold' ? { 'x-tier': 'gold' } : {}))
    await until(() => inLine() === i + 1, `${path} waits`)
  }
  for (let i = 0; i < 5; i++) await answerNext()
  await Promise.all(answers)
  t.equal(served[0], '/first')
  t.strictSame(new Set(served.slice(1, 3)), new Set(['/gold', '/pay']))
  t.strictSame(served.slice(3), ['/page', '/report'])
})

t.test('a client that leaves the line is never sent to the backend', async t => {
  const { ask, answerNext, served, waiting, port, inLine } = await world(t, {})
  const first = ask('/first')
  await until(() => waiting.length === 1)
  const leaving = get({
    host: 'localhost',
    port,
    path: '/gone',
    rejectUnauthorized: false,
  })
  leaving.on('error', () => {})
  const second = ask('/second')
  await until(() => inLine() === 2, 'both wait')
  leaving.destroy()
  await until(() => inLine() === 1, 'one has left')
  await answerNext()
  await answerNext()
  await Promise.all([first, second])
  t.strictSame(served, ['/first', '/second'])
})

for (const method of ['POST', 'PUT']) {
  t.test(`the body of a ${method} that was held back finds no room`, async t => {
    const { ask, answerNext, served, waiting, port, log } = await world(t, {})
    const held = request({
      ...{ host: 'localhost', port, path: '/held', method, rejectUnauthorized: false },
      headers: { expect: '100-continue', 'content-length': 4 },
    })
    held.flushHeaders()
    await once(held, 'continue')
    const first = ask('/first')
    await until(() => waiting.length === 1, 'a request at the backend')
    held.end('some')
    const [response] = await once(held, 'response')
    t.equal(response.statusCode, 503, 'it is told so, and need not wait for it')
    t.equal(response.headers['retry-after'], '1')
    await answerNext()
    t.equal((await first).status, 200)
    t.strictSame(served, ['/first'], 'no backend has heard of it')
    t.match(log.requests[0], { path: '/held', error: 'busy' })
    held.destroy()
  })
}

for (const method of ['GET', 'PUT']) {
  t.test(`a ${method} that a dying backend has lost waits for the other`, async t => {
    const held: ServerResponse[] = []
    const served: string[] = []
    const bodies: string[] = []
    const full = await startBackend(t, (asked, response) => {
      served.push(asked.url ?? '')
      asked.on('data', chunk => bodies.push(String(chunk)))
      asked.on('end', () => held.push(response))
    })
    const dying = await startBackend(t, asked => asked.socket.destroy())
    const site = await defaultSite([])
    const one = { url: full.url, maxRequests: 1 }
    const { port } = await startProxy(t, {
      sites: [
        {
          ...site,
          backends: [{ url: dying.url }, { ...one, priority: 1 }],
          routes: [{ match: { path: '/full' }, backends: [one] }],
        },
      ],
      limits: { clientShare: 100, queueTimeout: 20_000 },
    })
    const ask = (path: string, how: string) =>
      new Promise<number>((resolve, reject) => {
        const asked = request(
          { host: 'localhost', port, path, method: how, rejectUnauthorized: false },
          response => {
            response.resume()
            response.on('end', () => resolve(response.statusCode ?? 0))
          },
        )
        asked.on('error', reject)
        asked.end(how === 'GET' ? undefined : 'some')
      })
    const first = ask('/full', 'GET')
    await until(() => held.length === 1)
    const lost = ask('/lost', method)
    await until(() => dying.requests.length === 1, 'it is lost')
    held.shift()?.end()
    t.equal(await first, 200)
    await until(() => held.length === 1, 'its turn comes')
    held.shift()?.end()
    t.equal(await lost, 200)
    t.strictSame(served, ['/full', '/lost'])
    t.strictSame(bodies, method === 'GET' ? [] : ['some'])
  })
}

t.test('adaptive concurrency sends a slow backend fewer at a time', async t => {
  let underWay = 0
  let most = 0
  const { url } = await startBackend(t, (_request, response) => {
    underWay++
    most = Math.max(most, underWay)
    setTimeout(() => {
      underWay--
      response.end('ok')
    }, 5)
  })
  const site = await defaultSite([url])
  const { port } = await startProxy(t, {
    sites: [{ ...site, concurrency: 'adaptive' }],
    limits: { clientShare: 100, queueTimeout: 20_000 },
  })
  const agent = new Agent({ keepAlive: true, rejectUnauthorized: false })
  t.teardown(() => agent.destroy())
  const statuses = await Promise.all(
    Array.from(
      { length: 60 },
      () =>
        new Promise<number>((resolve, reject) => {
          get({ host: 'localhost', port, agent }, response => {
            response.resume()
            response.on('end', () => resolve(response.statusCode ?? 0))
          }).on('error', reject)
        }),
    ),
  )
  t.ok(statuses.every(status => status === 200))
  t.ok(most <= 30, `${most} at a time`)
})
