import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { freePort } from '../../fixtures/free-port.ts'
import { programOf } from '../../fixtures/process/program.ts'

t.test('a process that starts while Redis is away goes on without it', async t => {
  const { path, execArgv } = programOf('redis/starting-process')
  const url = `redis://127.0.0.1:${await freePort()}`
  const child = spawn(process.execPath, [...execArgv, path, url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    said += text
  })
  const [code] = await once(child, 'close')
  t.same({ code, said }, { code: 0, said: 'it has a farm\n' })
})
