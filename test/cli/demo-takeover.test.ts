import t from 'tap'
import { whyNoNetworks } from '../../lib/cli/demo/takeover/networks.ts'
import { ProgressLine } from '../../lib/cli/demo/takeover/progress-line.ts'
import { runTakeoverDemo } from '../../lib/cli/demo/takeover/run-takeover.ts'
import type { NativeSupport } from '../../lib/takeover/native/detect.ts'
import { Capture } from '../fixtures/cli/io.ts'
import { freePort } from '../fixtures/free-port.ts'
import { withGuardian } from '../fixtures/serve/guarded-proxy.ts'
import { localhostFiles } from '../fixtures/tls/localhost-files.ts'

// A busy machine stands still for longer than a second.
const size = { bytes: 40e6, rate: 40e6, timeout: 3_000 }

t.test(
  'a download outlives its processes, and its host where it can',
  withGuardian,
  async t => {
    const [stdout, stderr] = [new Capture(), new Capture()]
    const io = { stdout, stderr, env: {}, cwd: t.testdir(await localhostFiles()) }
    const code = await runTakeoverDemo({ firstPort: await freePort(), size }, io)
    t.equal(code, 0, stdout.text + stderr.text)
    t.equal(stdout.text.match(/^killed process \d+ with SIGKILL$/gm)?.length, 2)
    const parts = whyNoNetworks() === undefined ? 2 : 1
    t.equal(stdout.text.match(/^all bytes came, by SHA-256/gm)?.length, parts)
    t.match(
      stdout.text,
      parts === 2 ? /host 1 inherits its address/ : /can't be shown here/,
    )
    t.equal(stdout.text.match(/^ {2}100 %, 40 MB$/gm)?.length, parts)
    t.notMatch(stdout.text, '\x1b', 'no bar where there is no terminal')
    t.equal(stderr.text, '')
  },
)

t.test('what is missing is one line', async t => {
  const text = 'the package koffi is needed'
  const missing = { reason: 'no-koffi', text } as const
  const none = {
    sockets: undefined,
    packets: undefined,
    addresses: undefined,
    strays: undefined,
    missing,
  }
  const detect = async (): Promise<NativeSupport> => none
  const [stdout, stderr] = [new Capture(), new Capture()]
  const io = { stdout, stderr, env: {}, cwd: '.' }
  t.equal(await runTakeoverDemo({ firstPort: 1, detect }, io), 1)
  t.equal(stdout.text, '')
  t.equal(stderr.text, `handfast demo: no takeover can be shown here: ${text}\n`)
})

t.test('on a terminal there is a bar, and words stand above it', async t => {
  const output = new Capture(true, 30)
  const line = new ProgressLine(output, 100)
  line.say('first')
  line.show(50)
  line.show(50)
  line.say('killed')
  line.end()
  const bar = `[${'#'.repeat(20)}${'.'.repeat(20)}`.slice(0, 29)
  t.equal(output.text, `first\n\r\x1b[2K${bar}\r\x1b[2Kkilled\n${bar}\n`)
})
