import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { addressList } from '../../lib/address-list.ts'
import { createLog, type Log, type LogOptions, silentLog } from '../../lib/log.ts'
import { type AccessLog, createAccessLog } from '../../lib/proxy/access-log.ts'
import type { ClientConnection } from '../../lib/proxy/client/client-connection.ts'
import type { Exchange } from '../../lib/proxy/client/exchange.ts'
import type { AccessLogFormat } from '../../lib/proxy/options.ts'
import type { Outcome } from '../../lib/proxy/relay/forwarding.ts'

const outcome: Outcome = {
  status: 200,
  bytes: 12,
  phase: 'respond',
  backend: 'http://127.0.0.1:3000',
  error: undefined,
}

const logRequest = (log: Log, ...request: Parameters<AccessLog['request']>) =>
  createAccessLog(undefined, log, () => false).request(...request)

function connection(): ClientConnection {
  const known = { clientAddress: '::1', tlsVersion: 'TLSv1.3', socket: {} }
  return known as unknown as ClientConnection
}

function exchange(target: string, host = 'a.example', method = 'GET'): Exchange {
  const head = { method, target, httpVersion: '1.1', fields: ['hoST', host] }
  return { connection: connection(), head } as unknown as Exchange
}

/** The lines that a log of the process writes, without their time. */
async function written(
  t: Test,
  write: (log: Log) => void,
  options?: LogOptions,
): Promise<string[]> {
  const path = join(t.testdir({}), 'log')
  write(createLog({ ...options, destination: path }).child({ worker: 3 }))
  await new Promise(resolve => setImmediate(resolve))
  const lines = readFileSync(path, 'latin1').split('\n')
  t.equal(lines.pop(), '')
  for (const line of lines) t.match(line, /^\{"level":30,"time":\d{13},"pid":\d+,/)
  return lines.map(line => line.replace(/"time":\d+/, '"time":0'))
}

/** One that can be told of objects only. */
const slow = (log: Log): Log => ({
  ...{ debug() {}, warn() {}, error() {}, child: () => slow(log) },
  info: (fields, message) => log.info(fields, message),
})

t.test('lines are to the byte those of a logger that is told of objects', async t => {
  const write = (log: Log) => {
    logRequest(log, exchange('/a/b?secret=1#x'), outcome, 1.26, undefined)
    logRequest(log, exchange('http://u:p@b/?q', 'b'), outcome, 0, 'ann "x" \\ \u00fc\n')
    logRequest(log, exchange(`/"\\\x7f\xff${'y'.repeat(600)}`, ''), outcome, 1e9, '')
    const failed = { ...outcome, status: undefined, backend: undefined, error: 'a "b"\n' }
    logRequest(log, exchange('*', 'b', 'M"\\'), failed, 3, undefined)
    createAccessLog(undefined, log, () => false).unreadable({
      connection: connection(),
      status: 400,
      code: 'HPE_"',
    })
  }
  const lines = await written(t, write)
  t.equal(lines.length, 5)
  t.strictSame(lines, await written(t, log => write(slow(log))))
  const [first = '', second = '', third = ''] = lines
  t.match(first, '"worker":3,"client":"::1","tls":"TLSv1.3","method":"GET"')
  t.match(first, /"host":"a\.example","path":"\/a\/b","status":200,"bytes":12,"ms":1\.3,/)
  t.match(
    first,
    /"http":"1\.1","backend":"http:\/\/127\.0\.0\.1:3000","msg":"request"\}$/,
  )
  t.notMatch(lines.join(), 'secret')
  t.match(second, '"path":"/","status"', 'no query, and nothing of an absolute form')
  t.match(second, '"user":"ann%20\\"x\\"%20\\\\%20%C3%BC%0A"')
  t.match(third, /"path":"\/\\"\\\\%7F%FFy+\.\.\."/)
})

t.test('no password that stands before a host is logged', async t => {
  const targets = ['u:secret@b:443', 'http://u:secret@b/x@y', '/x@y', '*@secret@b']
  const lines = await written(t, log => {
    for (const target of targets)
      logRequest(log, exchange(target, 'u:secret@b', 'CONNECT'), outcome, 1, undefined)
  })
  t.strictSame(
    lines.map(line => (JSON.parse(line) as { path: string; host: string }).path),
    ['b:443', '/x@y', '/x@y', 'b'],
  )
  t.ok(lines.every(line => line.includes('"host":"b"')))
})

t.test('a log that is above them writes none', async t => {
  const write = (log: Log) => logRequest(log, exchange('/'), outcome, 1, undefined)
  t.strictSame(await written(t, write, { level: 'warn' }), [])
})

/** The lines of requests on a connection of their own. */
function lines(
  format: AccessLogFormat,
  exchanges: readonly Exchange[],
  user?: string,
): string[] {
  const trusts = addressList(['10.0.0.0/8'], 'trustedProxies')
  const all: string[] = []
  const target = { format, write: (line: string) => void all.push(line) }
  const log = createAccessLog(target, silentLog, trusts)
  for (const one of exchanges) log.request(one, outcome, 3, user)
  log.unreadable({ connection: connection(), status: 400, code: 'HPE' })
  return all
}

function withFields(target: string, fields: string[], from?: string): Exchange {
  const one = exchange(target)
  const known = { ...connection(), ...(from && { clientAddress: from, trusted: true }) }
  const head = { ...one.head, fields: [...one.head.fields, ...fields] }
  return { ...one, connection: known, head } as unknown as Exchange
}

/** As tools for such logs take a line apart. */
const combined =
  /^(\S+) - (\S+) \[(\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000)\] "(\S+ \S+ HTTP\/\d\.\d|-)" (\d{3}) (\d+) "([^"]*)" "([^"]*)"\n$/

t.test('the combined format is that of Apache and nginx', async t => {
  const agent = 'Mozilla/5.0 (X11; Linux)'
  const fields = ['Referer', 'https://ann:pw@a.example/x?token=1', 'User-Agent', agent]
  const [line = '', unreadable = ''] = lines('combined', [
    withFields('/a/b?secret=1', fields),
  ])
  const [, client, user, time = '', request, status, bytes, referer, seen] =
    combined.exec(line) ?? []
  t.strictSame(
    [client, user, request, status, bytes, referer, seen],
    ['::1', '-', 'GET /a/b HTTP/1.1', '200', '12', 'https://a.example/x', agent],
  )
  t.ok(Date.parse(time.replace(':', ' ').replaceAll('/', ' ')) > 0)
  t.match(unreadable, /^::1 - - \[[^\]]+\] "-" 400 0 "-" "-"\n$/)
})

t.test('nothing that a client says ends a field or a line of it', async t => {
  const evil = '" 200 0 "-" "-"\r\n1.2.3.4 - ann [x] "GET / HTTP/1.1\\"\x1b[2J\x7f\xe9'
  for (const [one, user] of [
    [withFields('/', ['User-Agent', evil, 'Referer', evil]), undefined],
    [withFields(`/${evil}`, []), evil],
    [withFields('/', ['User-Agent', 'x'.repeat(9_999)]), 'ann b'],
    [withFields('/', ['User-Agent', '', 'Referer', '']), ''],
  ] as const) {
    const [line = ''] = lines('combined', [one], user)
    t.match(line, combined)
    t.match(line, /^[\x20-\x7e]+\n$/)
    t.ok(line.length < 1_500)
  }
  const [line = ''] = lines('combined', [exchange('/')], 'j\u00fcrg b')
  t.match(line, /^::1 - j\\xC3\\xBCrg\\x20b \[/)
})

t.test('of a trusted proxy the client it speaks for is told', async t => {
  const forwarded = ['X-Forwarded-For', '203.0.113.9, 10.0.0.7']
  const one = () => withFields('/', forwarded, '10.0.0.2')
  t.match(lines('combined', [one()])[0], /^203\.0\.113\.9 - /)
  const [json = '{}'] = lines('json', [one()])
  t.match(JSON.parse(json), { client: '203.0.113.9', proxy: '10.0.0.2', status: 200 })
  const silent = withFields('/', ['X-Forwarded-For', '"}\n{"'], '10.0.0.2')
  t.match(JSON.parse(lines('json', [silent])[0] ?? ''), { client: '10.0.0.2' })
  const stranger = withFields('/', forwarded)
  t.match(lines('combined', [stranger])[0], /^::1 - /)
})

t.test('a file of JSON has a time of ISO 8601 in each line', async t => {
  const all = lines('json', [exchange('/a'), exchange('/b')])
  t.equal(all.length, 3)
  for (const line of all) {
    const { time } = JSON.parse(line) as { time: string }
    t.equal(new Date(time).toISOString(), time)
  }
})
