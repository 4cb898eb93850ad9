import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import { patience } from '../fixtures/patience.ts'

async function statusAt(port: number): Promise<{ transport: { processes: number } }> {
  const asked = request({ port, host: '127.0.0.1', path: '/status', agent: false })
  asked.end()
  return await new Promise((resolve, reject) => {
    asked.on('error', reject)
    asked.on('response', async response => {
      let text = ''
      for await (const chunk of response) text += chunk
      resolve(JSON.parse(text))
    })
  })
}

t.test('a host has one admin port, and another process takes it over', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'handfast-admin-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const secret = generateSecret()
  const options = { secret, host: join(folder, 'host') }
  const one = await createFarm(options)
  const two = await createFarm(options)
  t.teardown(() => Promise.all([one.close(), two.close()]))
  const { port, token } = await one.admin({ listen: 0 })
  const waiting = await two.admin({ listen: port })
  t.equal(waiting.token, token)
  t.equal((await statusAt(port)).transport.processes, 2)
  await one.close()
  const deadline = Date.now() + patience
  for (;;) {
    const told = await statusAt(port).catch(() => undefined)
    if (told !== undefined) break
    if (Date.now() > deadline) throw new Error('nobody has the port')
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  t.pass('it answers')
})

t.test('farm.admin takes what it knows, and says what is wrong', async t => {
  const farm = await createFarm()
  t.teardown(() => farm.close())
  const admin = (options: object) => farm.admin(options as { listen: number })
  await t.rejects(admin({}), { code: 'ERR_HANDFAST_CONFIG', message: /listen/ })
  await t.rejects(admin({ listen: 70_000 }), { message: /a port from 0 to 65535/ })
  await t.rejects(admin({ listen: 0, name: ['x'] }), { message: /names/ })
  const opened = await farm.admin({ listen: 0 })
  t.equal(opened.token, undefined, 'without a secret nobody can revoke')
  await t.rejects(farm.admin({ listen: opened.port }), { code: 'EADDRINUSE' })
  await farm.close()
  await t.rejects(statusAt(opened.port), { code: 'ECONNREFUSED' })
})
