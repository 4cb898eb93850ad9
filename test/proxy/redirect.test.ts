import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../lib/clock.ts'
import { LimitCounters } from '../../lib/limit/limit-counters.ts'
import { createAccessLog } from '../../lib/proxy/access-log.ts'
import {
  RedirectListener,
  type RedirectOptions,
} from '../../lib/proxy/redirect-listener.ts'
import { writeHeader } from '../../lib/proxy-protocol/header.ts'
import { patience } from '../fixtures/patience.ts'
import { MemoryLog } from '../fixtures/proxy/servers.ts'
import { until } from '../fixtures/until.ts'

const challenge = '/.well-known/acme-challenge/'

async function start(t: Test, options: Partial<RedirectOptions> = {}) {
  const log = new MemoryLog()
  const listener = new RedirectListener({
    host: '127.0.0.1',
    port: 0,
    httpsPort: 443,
    serves: hostname => hostname === 'shop.example' || hostname === '[::1]',
    limitCounters: new LimitCounters(systemClock, log),
    accessLog: createAccessLog(undefined, log, () => false),
    log,
    ...options,
  })
  await listener.listen()
  t.teardown(() => listener.close())
  return { port: listener.port, log, listener }
}

/** All that came back for these bytes. */
async function say(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  let text = ''
  socket.setEncoding('latin1').on('data', chunk => {
    text += chunk
  })
  await once(socket, 'close', { signal: AbortSignal.timeout(patience) })
  return text
}

const get = (path: string, host = 'shop.example', method = 'GET') =>
  `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`
const locationOf = (answer: string) => /\r\nLocation: (.*)\r\n/.exec(answer)?.[1]
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1])

t.test('a client is sent to the same place by HTTPS', async t => {
  const { port, log } = await start(t)
  for (const [request, status, location] of [
    [get('/a/b?c=d'), 301, 'https://shop.example/a/b?c=d'],
    [get('/', 'SHOP.example.:80', 'HEAD'), 301, 'https://shop.example/'],
    [get('/a', undefined, 'DELETE'), 308, 'https://shop.example/a'],
    [get('http://shop.example/x'), 301, 'https://shop.example/x'],
    [get('//evil.example/'), 301, 'https://shop.example//evil.example/'],
    [get('/%E9%0d%0aX:'), 301, 'https://shop.example/%E9%0d%0aX:'],
    [get('/', '[::1]:80'), 301, 'https://[::1]/'],
    [get(`${challenge}x`), 301, `https://shop.example${challenge}x`],
    ['GET /old HTTP/1.0\r\nHost: shop.example\r\n\r\n', 301, 'https://shop.example/old'],
  ] as const) {
    const answer = await say(port, request)
    t.equal(statusOf(answer), status, request)
    t.equal(locationOf(answer), location, request)
  }
  await until(() => log.requests.length === 9)
  t.match(log.requests[0], { client: '127.0.0.1', path: '/a/b', status: 301 })
  const other = await start(t, { httpsPort: 8443 })
  t.equal(locationOf(await say(other.port, get('/x'))), 'https://shop.example:8443/x')
})

t.test('nobody is sent to a host that is not ours', async t => {
  const { port } = await start(t)
  for (const [request, status] of [
    [get('/', 'evil.example'), 421],
    [get('http://evil.example/', 'evil.example'), 421],
    [get('http://evil.example/'), 400],
    [get('/', 'shop.example@evil.example'), 400],
    [get('/', 'shop.example/.evil.example'), 400],
    [get('/', 'shop.example:80:evil'), 400],
    [get('/', ''), 400],
    ['GET / HTTP/1.1\r\n\r\n', 400],
    ['GET / HTTP/1.0\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: shop.example\r\nHost: evil.example\r\n\r\n', 400],
    [get('*', undefined, 'OPTIONS'), 501],
    [get('/', undefined, 'TRACE'), 405],
    ['\x16\x03\x01\x00\xff', 400],
  ] as const) {
    const answer = await say(port, request)
    t.equal(statusOf(answer), status, request)
    t.equal(locationOf(answer), undefined)
  }
})

t.test('one connection is one request, whatever comes with it', async t => {
  const { port, log } = await start(t)
  const answer = await say(port, get('/first') + get('/second').repeat(50))
  t.equal(locationOf(answer), 'https://shop.example/first')
  t.equal(answer.match(/ 301 /g)?.length, 1)
  await until(() => log.requests.length > 0)
  t.equal(log.requests.length, 1)
  const upload = `POST /up HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 500000\r\n\r\n`
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('error', error => t.fail(String(error)))
  socket.setEncoding('latin1').on('data', chunk => {
    text += chunk
  })
  socket.write(upload)
  socket.write('x'.repeat(500_000))
  await once(socket, 'close')
  t.match(text, / 308 /, 'and who is still sending gets to read the answer')
})

t.test('clients of one network leave room for others', async t => {
  const { port, log } = await start(t)
  const sockets = Array.from({ length: 820 }, () => connect(port, '127.0.0.1'))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) socket.on('error', () => {})
  await until(() => log.lines.some(({ fields }) => fields['limit'] === 'redirect'))
})

t.test('challenges of ACME are answered from a webroot', async t => {
  const webroot = t.testdir({ secret: 'not for anybody' })
  const folder = join(webroot, challenge)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'tok-en_1'), 'tok-en_1.thumbprint')
  writeFileSync(join(folder, 'large'), 'x'.repeat(5_000))
  symlinkSync(join(webroot, 'secret'), join(folder, 'link'))
  mkdirSync(join(folder, 'folder'))
  execFileSync('mkfifo', [join(folder, 'pipe')])
  const { port } = await start(t, { acmeChallenge: webroot })
  const good = await say(port, get(`${challenge}tok-en_1`, 'not-yet.example'))
  t.equal(statusOf(good), 200)
  t.match(good, /\r\n\r\ntok-en_1\.thumbprint$/)
  t.equal(statusOf(await say(port, get(`${challenge}tok-en_1?x`))), 200)
  t.equal(statusOf(await say(port, get(`${challenge}tok-en_1`, 'a', 'POST'))), 405)
  for (const token of [
    ...['', 'nothing', '../../secret', '..%2f..%2fsecret', 'tok-en_1/', 'a.b', 'large'],
    ...['x'.repeat(300), 'link', 'folder', 'pipe'],
  ]) {
    const answer = await say(port, get(challenge + token))
    t.equal(statusOf(answer), 404, token.slice(0, 20))
    t.notMatch(answer, 'not for anybody')
  }
  t.equal(locationOf(await say(port, get('/else'))), 'https://shop.example/else')
})

t.test('or by the client of ACME itself, within limits', async t => {
  const hosts: (string | undefined)[] = []
  const client = createServer(({ url, headers }, response) => {
    hosts.push(headers.host)
    if (url === `${challenge}long`) response.end('x'.repeat(100_000))
    else if (url === `${challenge}gone`) response.destroy()
    else if (url === `${challenge}none`) response.writeHead(404).end()
    else response.end(`for ${url}`)
  }).listen(0, '127.0.0.1')
  await once(client, 'listening')
  t.teardown(() => client.close())
  const acmeChallenge = `http://127.0.0.1:${(client.address() as AddressInfo).port}`
  const { port } = await start(t, { acmeChallenge })
  t.match(await say(port, get(`${challenge}abc`, 'new.example')), `for ${challenge}abc`)
  t.strictSame(hosts, ['new.example'])
  for (const [token, status] of [
    ['long', 502],
    ['gone', 502],
    ['none', 404],
    ['../x', 404],
  ] as const) {
    t.equal(statusOf(await say(port, get(challenge + token))), status, token)
  }
  client.close()
  client.closeAllConnections()
  t.equal(statusOf(await say(port, get(`${challenge}abc`))), 502)
})

t.test('a balancer in front says who the client is', async t => {
  const { port, log } = await start(t, { proxyProtocol: ['127.0.0.1'] })
  const header = writeHeader('v2', {
    source: { address: '203.0.113.7', port: 1 },
    destination: { address: '192.0.2.1', port: 80 },
  })
  t.equal(statusOf(await say(port, Buffer.concat([header, Buffer.from(get('/'))]))), 301)
  t.equal(await say(port, get('/')), '')
  await until(() => log.requests.length === 1)
  t.match(log.requests, [{ client: '203.0.113.7' }])
})
