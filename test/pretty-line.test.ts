import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createLog } from '../lib/log.ts'
import { prettyLine } from '../lib/pretty-line.ts'

t.test('a person reads time, level, sentence and what belongs to it', async t => {
  const path = join(t.testdir({}), 'log')
  const log = createLog({ destination: path, format: 'pretty', level: 'debug' })
  log
    .child({ worker: 3 })
    .warn({ client: '::1', text: 'a b=c', list: [1] }, 'a limit was met')
  log.infoText?.('"method":"GET","status":200', 'request')
  log.debug({}, 'small')
  log.error({ secret: 'x' }, 'large')
  await new Promise(resolve => setImmediate(resolve))
  const lines = readFileSync(path, 'utf8').split('\n')
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /
  t.strictSame(
    lines.map(line => line.replace(time, 'TIME ')),
    [
      'TIME WARN  a limit was met worker=3 client=::1 text="a b=c" list=[1]',
      'TIME INFO  request method=GET status=200',
      'TIME DEBUG small',
      'TIME ERROR large secret=[Redacted]',
      '',
    ],
  )
})

t.test('what somebody else wrote moves no cursor and begins no line', async t => {
  const evil = '\x1b[2J\n\r\x9b31m\u202e\u2028\x7f'
  const line = prettyLine(
    JSON.stringify({ level: 30, time: 0, msg: evil, [evil]: evil, a: { b: evil } }),
    false,
  )
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  t.notMatch(line.slice(0, -1), /[\x00-\x1f\x7f-\x9f\u2028-\u202e]/)
  t.match(line, /\\u001b\[2J/)
})

t.test('colours are for terminals', async t => {
  const line = '{"level":50,"time":0,"msg":"x","a":1}'
  t.match(prettyLine(line, true), '\x1b[31mERROR\x1b[0m')
  t.notMatch(prettyLine(line, false), '\x1b')
  t.equal(prettyLine('no JSON\n', true), 'no JSON\n')
})
