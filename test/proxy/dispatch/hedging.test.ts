import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { AnswerTimes } from '../../../lib/dispatch/hedge/answer-times.ts'
import type { Handling, RunningProxy } from '../../../lib/proxy/options.ts'
import { Browser } from '../../fixtures/proxy/browser.ts'
import {
  defaultSite,
  startBackend,
  startProxy,
  type Teardown,
  type TestProxy,
} from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

/** What a backend does with a request: nothing by itself. */
type Behave = (response: ServerResponse) => void

const silent: Behave = () => {}
const says =
  (text: string, status = 200): Behave =>
  response => {
    response.writeHead(status)
    response.end(text)
  }

interface Asked {
  readonly url: string
  /** Methods of what it was asked. */
  readonly asked: string[]
  /** Requests that were given up. */
  gone: number
}

async function http1(t: Teardown, behave: Behave): Promise<Asked> {
  const { url } = await startBackend(t, (request, response) => {
    at.asked.push(request.method as string)
    response.on('close', () => {
      if (!response.writableFinished) at.gone++
    })
    behave(response)
  })
  const at: Asked = { url, asked: [], gone: 0 }
  return at
}

async function http2(t: Teardown, behave: Behave): Promise<Asked> {
  const server = createHttp2Server((request, response) => {
    at.asked.push(request.method)
    response.stream.on('error', () => {})
    response.stream.on('aborted', () => at.gone++)
    behave(response as unknown as ServerResponse)
  })
  const sessions = new Set<{ destroy(): void }>()
  server.on('session', session => sessions.add(session.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  const at: Asked = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    gone: 0,
  }
  return at
}

/** A proxy that asks the first before the second. */
async function before(
  t: Teardown,
  [first, second]: readonly [Asked, Asked],
  more: Partial<Handling> = {},
): Promise<TestProxy> {
  const site = await defaultSite([])
  const backends = [first.url, { url: second.url, priority: 1 }]
  return await startProxy(t, {
    sites: [{ ...site, backends, hedging: { delay: 50 }, ...more }],
  })
}

function hedgesOf(proxy: RunningProxy): unknown {
  return proxy.sections.find(({ name }) => name === 'hedges')?.read()
}

for (const [version, start] of Object.entries({ http1, http2 })) {
  const backendProtocol = version as 'http1' | 'http2'

  t.test(`${version}: a second backend answers for one that is slow`, async t => {
    const pair = [await start(t, silent), await start(t, says('second'))] as const
    const { proxy, port, log } = await before(t, pair, { backendProtocol })
    const browser = new Browser()
    t.equal(await browser.get(port), 'second')
    t.strictSame([pair[0].asked, pair[1].asked], [['GET'], ['GET']])
    await until(() => pair[0].gone === 1, 'the first is given up')
    t.strictSame(hedgesOf(proxy), { won: 1, lost: 0, 'no-budget': 0 })
    await until(() => log.requests.length === 1)
    t.match(log.requests[0], { status: 200, backend: pair[1].url })
  })

  t.test(`${version}: the first may be first after all`, async t => {
    let answer: () => void = () => {}
    const slow = await start(t, response => {
      answer = () => response.end('first')
    })
    const pair = [slow, await start(t, silent)] as const
    const { proxy, port, log } = await before(t, pair, { backendProtocol })
    const got = new Browser().get(port)
    await until(() => pair[1].asked.length === 1)
    answer()
    t.equal(await got, 'first')
    await until(() => pair[1].gone === 1, 'the second is given up')
    t.strictSame(hedgesOf(proxy), { won: 0, lost: 1, 'no-budget': 0 })
    await until(() => log.requests.length === 1)
    t.match(log.requests[0], { backend: pair[0].url })
  })
}

t.test('an answer that comes in time is asked for once', async t => {
  const pair = [await http1(t, says('first')), await http1(t, says('second'))] as const
  const { proxy, port } = await before(t, pair, { hedging: { delay: 60_000 } })
  t.equal(await new Browser().get(port), 'first')
  t.equal(pair[1].asked.length, 0)
  t.strictSame(hedgesOf(proxy), { won: 0, lost: 0, 'no-budget': 0 })
})

t.test('forbidden: a second try of what may change something', async t => {
  const answers: (() => void)[] = []
  const slow = await http1(t, response => answers.push(() => response.end('first')))
  const pair = [slow, await http1(t, says('second'))] as const
  const { proxy, port } = await before(t, pair, { hedging: { delay: 1 } })
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    const got = new Browser().send(port, method, '/', 'x=1')
    await until(() => answers.length === 1)
    // One that may be tried twice, and is: so would this one have been by now.
    t.equal(await new Browser().get(port), 'second')
    answers[0]?.()
    t.equal(await got, 'first', method)
    answers.splice(0)
  }
  t.strictSame([...new Set(pair[1].asked)], ['GET'])
  t.strictSame(hedgesOf(proxy), { won: 4, lost: 0, 'no-budget': 0 })
})

t.test('a bad answer does not count while a better one may come', async t => {
  let answer: () => void = () => {}
  const slow = await http1(t, response => {
    answer = () => response.end('first')
  })
  const pair = [slow, await http1(t, says('overloaded', 503))] as const
  const { port } = await before(t, pair)
  const browser = new Browser()
  const got = browser.get(port)
  await until(() => pair[1].asked.length === 1)
  answer()
  t.equal(await got, 'first')
  t.equal(browser.lastStatus, 200)

  const both = [await http1(t, says('no', 503)), await http1(t, silent)] as const
  const other = await before(t, both)
  t.equal(await browser.get(other.port), 'no', 'where there is no other it counts')
  t.equal(browser.lastStatus, 503)
})

t.test('one of the two may be lost', async t => {
  const dies = await http1(t, response => setTimeout(() => response.destroy(), 200))
  const late = await http1(t, response => setTimeout(() => response.end('late'), 500))
  const { port } = await before(t, [dies, late], { retries: { most: 0 } })
  t.equal(await new Browser().get(port), 'late')
  const dead = await http1(t, response => response.destroy())
  const { port: other } = await before(t, [late, dead], { retries: { most: 0 } })
  t.equal(await new Browser().get(other), 'late')
  const { port: none } = await before(t, [dies, dead], { retries: { most: 0 } })
  const browser = new Browser()
  await browser.get(none)
  t.equal(browser.lastStatus, 502)
})

t.test('a client that leaves is told to both', async t => {
  const pair = [await http1(t, silent), await http1(t, silent)] as const
  const { port, log } = await before(t, pair, { limits: { requestTimeout: 1_500 } })
  const browser = new Browser()
  await browser.get(port)
  t.equal(browser.lastStatus, 504)
  await until(() => pair[0].gone === 1 && pair[1].gone === 1)
  await until(() => log.requests.length === 1)
})

t.test('the budget of retries bounds them', async t => {
  const answers: (() => void)[] = []
  const slow = await http1(t, response => answers.push(() => response.end('first')))
  const pair = [slow, await http1(t, says('second'))] as const
  const { proxy, port } = await before(t, pair, { retries: { budgetFrom: 2, budget: 0 } })
  for (let i = 0; i < 2; i++) t.equal(await new Browser().get(port), 'second')
  const got = new Browser().get(port)
  await until(() => answers.length === 3)
  await until(() => (hedgesOf(proxy) as { 'no-budget': number })['no-budget'] === 1)
  answers[2]?.()
  t.equal(await got, 'first')
  t.strictSame(hedgesOf(proxy), { won: 2, lost: 0, 'no-budget': 1 })
})

t.test('second tries are no requests of which others may be repeated', async t => {
  const answers: (() => void)[] = []
  const slow = await http1(t, response => answers.push(() => response.end('first')))
  const pair = [slow, await http1(t, says('second'))] as const
  const retries = { budgetFrom: 0, budget: 50 }
  const { proxy, port } = await before(t, pair, { retries })
  t.equal(await new Browser().get(port), 'second')
  const got = new Browser().get(port)
  await until(() => answers.length === 2)
  await until(() => (hedgesOf(proxy) as { 'no-budget': number })['no-budget'] === 1)
  answers[1]?.()
  t.equal(await got, 'first', 'one of two has been repeated')
})

for (const [version, start] of Object.entries({ http1, http2 })) {
  const backendProtocol = version as 'http1' | 'http2'

  t.test(`${version}: a backend that is silent is found out`, async t => {
    const dumb = await start(t, silent)
    const pair = [dumb, await start(t, says('second'))] as const
    const { port, log } = await before(t, pair, { backendProtocol })
    const passedOver = () =>
      log.lines.some(({ message }) => message === 'a backend is passed over')
    while (!passedOver()) t.equal(await new Browser().get(port), 'second')
    const { length } = dumb.asked
    t.equal(await new Browser().get(port), 'second')
    t.equal(dumb.asked.length, length, 'and is asked no more')
    await until(() => dumb.gone === length, 'all are given up')
  })
}

t.test('one that is slow, but speaks, is well', async t => {
  const late: Behave = response => setTimeout(() => response.end('late'), 150)
  const pair = [await http1(t, late), await http1(t, says('second'))] as const
  const { port, log } = await before(t, pair)
  const end = performance.now() + 1_500
  // Where the machine stood still in between the first may win.
  while (performance.now() < end)
    t.match(await new Browser().get(port), /^(?:second|late)$/)
  t.notOk(log.lines.some(({ message }) => message === 'a backend is passed over'))
})

t.test('a second backend that is full is none', async t => {
  let answer: () => void = () => {}
  const slow = await http1(t, response => {
    answer = () => response.end('first')
  })
  const pair = [slow, await http1(t, silent)] as const
  const site = await defaultSite([])
  const full = { url: pair[1].url, priority: 1, maxRequests: 1 }
  const { port } = await startProxy(t, {
    sites: [
      {
        ...site,
        backends: [pair[0].url, full],
        hedging: { delay: 50 },
        routes: [{ match: { path: '/full' }, backends: [full], hedging: 'off' }],
      },
    ],
  })
  const holds = new Browser().get(port, {}, '/full').catch(() => {})
  await until(() => pair[1].asked.length === 1)
  const got = new Browser().get(port)
  await until(() => pair[0].asked.length === 1)
  await new Promise(resolve => setTimeout(resolve, 200))
  answer()
  t.equal(await got, 'first')
  t.equal(pair[1].asked.length, 1)
  void holds
})

t.test('as long as so many of the last answers took', async t => {
  const times = new AnswerTimes(95)
  for (let ms = 1; ms <= 99; ms++) times.add(ms)
  t.equal(times.value, undefined, 'too few to tell')
  times.add(100)
  t.equal(times.value, 95)
  for (let i = 0; i < 1_000; i++) times.add(7)
  t.equal(times.value, 7, 'those of long ago are forgotten')
})

t.test('options that make no sense are refused by name', async t => {
  const site = await defaultSite(['http://127.0.0.1:1'])
  for (const [handling, message] of [
    [{ hedging: {} }, /hedging needs a delay or a percentile/],
    [{ hedging: { delay: 0 } }, /hedging\.delay/],
    [{ hedging: { percentile: 100 } }, /hedging\.percentile/],
    [{ hedging: { delay: 5 }, affinity: { by: 'cookie' } }, /affinity/],
    [{ hedging: { delay: 5 }, class: 'secure' }, /affinity/],
  ] as [Partial<Handling>, RegExp][]) {
    const sites = [{ ...site, ...handling }]
    await t.rejects(startProxy(t, { sites }), { code: 'ERR_HANDFAST_CONFIG', message })
  }
})
