import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createLog, type Log, type LogOptions } from '../../lib/log.ts'
import { logRequest, logUnreadable } from '../../lib/proxy/access-log.ts'
import type { ClientConnection } from '../../lib/proxy/client/client-connection.ts'
import type { Exchange } from '../../lib/proxy/client/exchange.ts'
import type { Outcome } from '../../lib/proxy/relay/forwarding.ts'

const outcome: Outcome = {
  status: 200,
  bytes: 12,
  phase: 'respond',
  backend: 'http://127.0.0.1:3000',
  error: undefined,
}

function connection(): ClientConnection {
  const known = { clientAddress: '::1', tlsVersion: 'TLSv1.3', socket: {} }
  return known as unknown as ClientConnection
}

function exchange(target: string, host = 'a.example', method = 'GET'): Exchange {
  const head = { method, target, httpVersion: '1.1', fields: ['hoST', host] }
  return { connection: connection(), head } as unknown as Exchange
}

/** The lines that a log of the process writes, without their time. */
function written(t: Test, write: (log: Log) => void, options?: LogOptions): string[] {
  const path = join(t.testdir({}), 'log')
  write(createLog({ ...options, destination: path }).child({ worker: 3 }))
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
    logUnreadable(log, { connection: connection(), status: 400, code: 'HPE_"' })
  }
  const lines = written(t, write)
  t.equal(lines.length, 5)
  t.strictSame(
    lines,
    written(t, log => write(slow(log))),
  )
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
  const lines = written(t, log => {
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
  t.strictSame(written(t, write, { level: 'warn' }), [])
})
