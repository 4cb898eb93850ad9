import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { demoCertificate } from '../../lib/cli/demo/certificate.ts'
import { CounterLine, renderCounters } from '../../lib/cli/demo/counter-line.ts'
import { freePorts } from '../../lib/cli/demo/free-ports.ts'
import { kinds } from '../../lib/cli/demo/kinds.ts'
import { report } from '../../lib/cli/demo/loss.ts'
import { allResumed, type Matrix } from '../../lib/cli/demo/matrix.ts'
import { renderMatrix } from '../../lib/cli/demo/matrix-table.ts'
import { ansiPaint, noPaint, paintFor } from '../../lib/cli/demo/paint.ts'
import { renderTryIt } from '../../lib/cli/demo/try-it.ts'
import type { Clock } from '../../lib/clock.ts'
import { Capture } from '../fixtures/cli/io.ts'

const [ids, tickets] = kinds
const session = Buffer.from('s')
const full = { resumed: false, milliseconds: 3.14, bytes: 1302, session }
const resumed = { resumed: true, milliseconds: 0.96, bytes: 267, session }

function matrix(offered: readonly (typeof full)[]): Matrix {
  if (tickets === undefined) throw new Error('no kind')
  const slow = { ...full, milliseconds: 99 }
  const row = { minted: [full, slow, { ...full, milliseconds: 1 }], offered }
  return { kind: tickets, ports: [8443, 8444, 10445], rows: [row, row, row] }
}

t.test('the table: minted on row, offered on column', async t => {
  t.equal(
    renderMatrix(matrix([resumed, full, resumed]), noPaint),
    `TLS 1.3 tickets                     offered on
minted on        full handshake     proxy 1 :8443              proxy 2 :8444              proxy 3 :10445
proxy 1 :8443      3.1 ms  1302 B   resumed   1.0 ms   267 B   FULL      3.1 ms  1302 B   resumed   1.0 ms   267 B
proxy 2 :8444      3.1 ms  1302 B   resumed   1.0 ms   267 B   FULL      3.1 ms  1302 B   resumed   1.0 ms   267 B
proxy 3 :10445     3.1 ms  1302 B   resumed   1.0 ms   267 B   FULL      3.1 ms  1302 B   resumed   1.0 ms   267 B
`,
  )
})

t.test('colour changes nothing but colour', async t => {
  const given = matrix([resumed, full, resumed])
  const coloured = renderMatrix(given, ansiPaint)
  t.match(coloured, '\x1b[32mresumed')
  t.match(coloured, '\x1b[1;31mFULL')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are what is removed
  t.equal(coloured.replaceAll(/\x1b\[[\d;]*m/g, ''), renderMatrix(given, noPaint))
})

t.test('one cell that did not resume fails the whole', async t => {
  t.equal(allResumed(matrix([resumed, resumed, resumed])), true)
  t.equal(allResumed(matrix([resumed, full, resumed])), false)
  const good = matrix([resumed, resumed, resumed])
  const bare = { ...full, session: undefined }
  const untold = { ...good, rows: [{ minted: [bare], offered: [resumed] }] }
  t.equal(allResumed(untold), false, 'a mint that gave no session')
  const odd = { ...good, rows: [{ minted: [resumed], offered: [resumed] }] }
  t.equal(allResumed(odd), false, 'a mint that was no full handshake')
})

t.test('colours on a terminal only, and only where they are welcome', async t => {
  t.equal(paintFor(new Capture(true), {}), ansiPaint)
  t.equal(paintFor(new Capture(true), { NO_COLOR: '' }), ansiPaint)
  t.equal(paintFor(new Capture(true), { NO_COLOR: '1' }), noPaint)
  t.equal(paintFor(new Capture(true), { TERM: 'dumb' }), noPaint)
  t.equal(paintFor(new Capture(false), {}), noPaint)
})

t.test('the loss of a proxy is told by what did not resume', async t => {
  const event = 'killed proxy 1 with SIGKILL'
  const claim = 'its sessions resume on 2 and 3'
  t.equal(report([], noPaint, event, claim), `${event}: ${claim}`)
  if (ids === undefined) throw new Error('no kind')
  t.equal(
    report([{ kind: ids, from: 0, to: 2 }], noPaint, event, claim),
    `${event}: did not resume: TLS 1.2 session IDs of 1 on 3`,
  )
})

const quiet = { connections: 1, requests: 5, full: 2, resumedLocal: 3, resumedPeer: 4 }

/** Time that moves when told. */
function steppedClock(): Clock & { step(): number } {
  let waiting: { ms: number; fn: () => void } | undefined
  return {
    now: () => 0,
    monotonic: () => 0,
    after(ms, fn) {
      const timer = { ms, fn }
      waiting = timer
      return {
        cancel() {
          if (waiting === timer) waiting = undefined
        },
      }
    },
    step() {
      const due = waiting
      waiting = undefined
      due?.fn()
      return due?.ms ?? Number.NaN
    },
  }
}

t.test('on a terminal the counter line is redrawn in place and never wraps', async t => {
  const output = new Capture(true, 40)
  const clock = steppedClock()
  let stats = quiet
  const line = new CounterLine(output, clock, () => stats)
  const text = renderCounters(stats)
  t.equal(output.text, `\r\x1b[2K${text.slice(0, 39)}`)
  clock.step()
  t.equal(output.text, `\r\x1b[2K${text.slice(0, 39)}`, 'nothing new, nothing written')
  stats = { ...stats, full: 10 }
  clock.step()
  t.match(output.text, '\r\x1b[2Kconnections 17   full 10')
  t.notMatch(output.text, '\n')
  line.say('news')
  t.ok(output.text.endsWith('\r\x1b[2Knews\n'))
  clock.step()
  line.close()
  t.ok(output.text.endsWith('\n'))
  t.ok(Number.isNaN(clock.step()), 'no timer is left')
})

t.test(
  'elsewhere it is a plain line, seldom, and only when something changed',
  async t => {
    const output = new Capture()
    const clock = steppedClock()
    let stats = quiet
    const line = new CounterLine(output, clock, () => stats)
    t.equal(
      output.text,
      'connections 9   full 2   resumed 7 (3 known here, 4 asked of a peer)\n',
    )
    t.equal(clock.step(), 5_000)
    stats = { ...stats, full: 3 }
    clock.step()
    line.say('news')
    line.close()
    t.equal(output.text.split('\n').length, 4)
    t.notMatch(output.text, '\x1b')
    t.notMatch(output.text, '\r')
  },
)

t.test('the commands to try name the ports and the certificate', async t => {
  const text = renderTryIt([8443, 8444, 8445], 'certs/localhost.crt')
  t.match(text, '127.0.0.1:8443 ')
  t.match(text, '-sess_out /tmp/handfast.pem')
  t.match(text, '127.0.0.1:8444 ')
  t.match(text, '-sess_in /tmp/handfast.pem')
  t.match(text, 'curl --cacert certs/localhost.crt https://localhost:8443/')
})

t.test('a taken port is passed over', async t => {
  const taken = createServer()
  taken.listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  const ports = await freePorts(port, 2)
  t.equal(ports.length, 2)
  t.notOk(ports.includes(port))
  t.ok(ports.every(free => free > port))
  await t.rejects(freePorts(65_536, 1), /no 1 free ports/)
})

t.test(
  'in a folder that can not be written the demo makes a pair for this run',
  async t => {
    const usual = await demoCertificate(t.testdir({}))
    t.match(usual.certFile, /certs\/localhost\.crt$/)
    await usual.remove()
    t.ok(existsSync(usual.certFile), 'what is in certs stays')
    const fault = await mkdir('/sys/certs').catch(error => error.code)
    if (!['EROFS', 'EACCES', 'EPERM'].includes(fault))
      return t.comment(`no such folder: ${fault}`)
    const own = await demoCertificate('/sys')
    t.ok(existsSync(own.keyFile))
    t.match(own.cert, 'BEGIN CERTIFICATE')
    await own.remove()
    t.notOk(existsSync(own.keyFile))
  },
)
