import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CommandFencer } from '../../lib/takeover/host/election/fencer.ts'

const minute = 60_000

t.test('the command is told who, and 0 means that it is done', async t => {
  const file = join(t.testdir({}), 'told')
  const fencer = new CommandFencer(
    ['sh', '-c', `echo "$@" > ${file}`, 'sh', 'ours'],
    minute,
  )
  t.equal(await fencer.fence('proxy-1', '10.0.0.100'), true)
  t.equal(readFileSync(file, 'utf8'), 'ours proxy-1 10.0.0.100\n')
})

t.test('whatever else happens, nobody is fenced', async t => {
  t.equal(await new CommandFencer(['sh', '-c', 'exit 3'], minute).fence('a', 'b'), false)
  t.equal(await new CommandFencer(['/no/such/program'], minute).fence('a', 'b'), false)
  t.equal(await new CommandFencer([''], minute).fence('a', 'b'), false, 'no program')
  t.equal(await new CommandFencer(['sleep', '600'], 100).fence('', '600'), false, 'late')
})
