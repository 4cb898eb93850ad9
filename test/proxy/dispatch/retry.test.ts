import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { promisify } from 'node:util'
import t from 'tap'
import type { Site } from '../../../lib/proxy/options.ts'
import {
  defaultSite,
  startBackend,
  startProxy,
  type Teardown,
} from '../../fixtures/proxy/servers.ts'

const exec = promisify(execFile)

async function status(url: string, ...options: string[]): Promise<string> {
  const args = ['-sk', '-m', '20', '-o', '/dev/null', '-w', '%{http_code}']
  return (await exec('curl', [...args, ...options, url])).stdout
}

/** Takes connections, and does as told with each request; how many there were. */
async function startBroken(
  t: Teardown,
  act: (socket: Socket, request: number) => void,
): Promise<{ url: string; seen: string[] }> {
  const seen: string[] = []
  const open = new Set<Socket>()
  const server = createServer(socket => {
    open.add(socket)
    let requests = 0
    socket.on('error', () => {})
    socket.on('data', bytes => {
      seen.push(String(bytes).split('\r\n', 1)[0] as string)
      act(socket, ++requests)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, seen }
}

const ways: [name: string, act: (socket: Socket) => void][] = [
  ['ends', socket => socket.end()],
  ['resets', socket => socket.resetAndDestroy()],
  ['stops after an interim answer', socket => socket.end('HTTP/1.1 103 E\r\n\r\n')],
]

for (const [name, act] of ways) {
  t.test(`a backend that accepts and ${name} costs a GET nothing`, async t => {
    const bad = await startBroken(t, act)
    const good = await startBackend(t, (_request, response) => response.end('fine'))
    const { url, log } = await startProxy(t, { backends: [bad.url, good.url] })
    for (let i = 0; i < 12; i++) t.equal(await status(`${url}/${i}`), '200')
    t.ok(bad.seen.length > 0)
    t.equal(new Set(bad.seen).size, bad.seen.length, 'no request came twice')
    t.ok(bad.seen.length < 6, 'passed over for a while after it failed')
    t.strictSame(new Set(log.requests.map(line => line['backend'])), new Set([good.url]))
  })

  t.test(
    `a backend that accepts and ${name} is passed over by the next POST`,
    async t => {
      const bad = await startBroken(t, act)
      const good = await startBackend(t, (request, response) => request.pipe(response))
      const { url } = await startProxy(t, { backends: [bad.url, good.url] })
      t.equal(
        await status(url, '-d', 'x'),
        '502',
        'it may have been done: never sent again',
      )
      t.equal(bad.seen.length, 1)
      t.equal(good.requests.length, 0)
      for (let i = 0; i < 3; i++) t.equal(await status(url, '-d', 'x'), '200')
    },
  )
}

t.test('a backend that never answers is passed over as well', async t => {
  const bad = await startBroken(t, () => {})
  const good = await startBackend(t, (_request, response) => response.end('fine'))
  const limits = { backendHeadersTimeout: 1_000 }
  const { url } = await startProxy(t, { backends: [bad.url, good.url], limits })
  t.equal(await status(url, '-d', 'x'), '504', 'it may be at work on it')
  for (let i = 0; i < 3; i++) t.equal(await status(url), '200')
  t.equal(bad.seen.length, 1)
})

t.test('one that talks nonsense is passed over as well', async t => {
  const bad = await startBroken(t, socket => socket.end('no HTTP\r\n\r\n'))
  const good = await startBackend(t, (_request, response) => response.end('fine'))
  const { url, log } = await startProxy(t, { backends: [bad.url, good.url] })
  t.equal(await status(url, '-d', 'x'), '502', 'it may have done it')
  t.match(log.requests[0], { error: 'HPE_INVALID' })
  for (let i = 0; i < 3; i++) t.equal(await status(url), '200')
  t.equal(bad.seen.length, 1)
  const again = await startProxy(t, { backends: [bad.url, good.url] })
  for (let i = 0; i < 3; i++) t.equal(await status(again.url), '200', 'another is asked')
  t.equal(bad.seen.length, 2)
})

t.test('a failed retry is not retried', async t => {
  const bad = await startBroken(t, socket => socket.end())
  const worse = await startBroken(t, socket => socket.end())
  const worst = await startBroken(t, socket => socket.end())
  const { url } = await startProxy(t, { backends: [bad.url, worse.url, worst.url] })
  t.equal(await status(url), '502')
  t.equal(bad.seen.length + worse.seen.length + worst.seen.length, 2)
  const alone = await startProxy(t, { backends: [bad.url] })
  bad.seen.length = 0
  t.equal(await status(alone.url), '502')
  t.equal(bad.seen.length, 2, 'the only one there is gets the retry too')
})

t.test('a kept-alive connection found dead does not count against a backend', async t => {
  const twice = (socket: Socket, request: number) =>
    request === 1
      ? socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      : socket.destroy()
  const one = await startBroken(t, twice)
  const two = await startBroken(t, twice)
  const { url } = await startProxy(t, { backends: [one.url, two.url] })
  for (let i = 0; i < 9; i++) t.equal(await status(url), '200')
  t.ok(one.seen.length > 2 && two.seen.length > 2, 'both are still asked')
})

t.test(
  'a backend that closes what it kept alive costs one POST, and no other',
  async t => {
    const bad = await startBroken(t, (socket, request) => {
      if (request > 1) socket.destroy()
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine')
    })
    const { url } = await startProxy(t, { backends: [bad.url] })
    t.equal(await status(url), '200')
    t.equal(await status(url, '-d', 'x'), '502', 'nobody knows whether it was done')
    for (let i = 0; i < 5; i++) {
      t.equal(await status(url), '200', 'leaves a connection that will not do')
      t.equal(await status(url, '-d', 'x'), '200', 'so it is not taken')
    }
  },
)

t.test('a GET that is never answered is asked for elsewhere', async t => {
  const bad = await startBroken(t, () => {})
  const good = await startBackend(t, (_request, response) => response.end('fine'))
  const limits = { backendHeadersTimeout: 1_000 }
  const { url } = await startProxy(t, { backends: [bad.url, good.url], limits })
  t.equal(await status(url), '200')
  t.equal(bad.seen.length, 1)
})

t.test('what does the same twice is sent again with its body, up to a bound', async t => {
  const bad = await startBroken(t, socket => socket.end())
  const good = await startBackend(t, (request, response) => request.pipe(response))
  const site = await defaultSite([bad.url, good.url])
  const sites = [{ ...site, retries: { bodyBytes: 1_000 } }]
  const { url } = await startProxy(t, { sites })
  for (const method of ['PUT', 'DELETE']) {
    const body = 'x'.repeat(1_000)
    const args = ['-sk', '-m', '20', '-X', method, '-d', body]
    t.equal((await exec('curl', [...args, url])).stdout, body, method)
  }
  t.ok(bad.seen.length > 0)
  const longer = await startProxy(t, { sites })
  const args = ['-X', 'PUT', '-d', 'x'.repeat(1_001)]
  t.equal(await status(longer.url, ...args), '502')
})

t.test('answers 502 to 504 are asked for elsewhere, where a site wants it', async t => {
  const bad = await startBackend(t, (_request, response) => {
    response.statusCode = 503
    response.end('not now')
  })
  const good = await startBackend(t, (_request, response) => response.end('fine'))
  const site = await defaultSite([bad.url, good.url])
  const usual = await startProxy(t, { sites: [site] })
  t.equal(await status(usual.url), '503')
  const sites = [{ ...site, retries: { badAnswers: true } }]
  const { url } = await startProxy(t, { sites })
  for (let i = 0; i < 4; i++) t.equal(await status(url), '200')
  t.equal(await status(url, '-d', 'x'), '503', 'but for a POST')
  const alone = { ...sites[0], backends: [bad.url] } as Site
  const single = await startProxy(t, { sites: [alone] })
  const seen = bad.requests.length
  t.equal(await status(single.url), '503')
  t.equal(bad.requests.length, seen + 1, 'the only one is asked once')
})

t.test('and answers 500, where it wants that', async t => {
  const bad = await startBackend(t, (_request, response) => {
    response.statusCode = 500
    response.end('oh')
  })
  const good = await startBackend(t, (_request, response) => response.end('fine'))
  const site = await defaultSite([bad.url, good.url])
  const statuses = async (retries: Site['retries']) => {
    const { url } = await startProxy(t, { sites: [{ ...site, retries }] })
    const seen = []
    for (let i = 0; i < 2; i++) seen.push(await status(url))
    for (let i = 0; i < 2; i++) seen.push(await status(url, '-d', 'x'))
    return seen.sort().join(' ')
  }
  t.equal(await statuses({ badAnswers: true }), '200 200 500 500')
  t.equal(await statuses({ serverErrors: true }), '200 200 200 500')
})

t.test('retries have a budget', async t => {
  const bad = await startBroken(t, socket => socket.end())
  const site = await defaultSite([bad.url])
  const sites = [{ ...site, retries: { budget: 0, budgetFrom: 2 } }]
  const { url } = await startProxy(t, { sites })
  for (let i = 0; i < 6; i++) t.equal(await status(url), '502')
  t.equal(bad.seen.length, 6 + 2)
})

t.test('and can be switched off', async t => {
  const bad = await startBroken(t, socket => socket.end())
  const good = await startBackend(t, (_request, response) => response.end('fine'))
  const site = await defaultSite([bad.url, good.url])
  const { url } = await startProxy(t, { sites: [{ ...site, retries: { most: 0 } }] })
  t.equal(await status(url), '502')
  t.equal(await status(url), '200')
})
