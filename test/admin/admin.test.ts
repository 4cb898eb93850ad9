import t from 'tap'
import { createAdmin } from '../../lib/admin/admin.ts'
import { tables } from '../../lib/record/key.ts'
import { decodeSessionRecord } from '../../lib/resumption/session/session-record.ts'
import { bearer, lineageOf, token, world } from '../fixtures/admin/world.ts'
import { cacheOf } from '../fixtures/farm/insides.ts'
import { memoryLog } from '../fixtures/farm/stream-member.ts'
import { masterKeyOf, only, spellings, versions } from '../fixtures/resumption/world.ts'
import { visit } from '../fixtures/tls/client.ts'

t.test('the status tells members and figures', async t => {
  const { ask, farm, port } = await world(t)
  await visit({ port })
  const { status, headers, body } = await ask('GET', '/status')
  t.equal(status, 200)
  t.equal(headers['content-type'], 'application/json')
  t.match(JSON.parse(body), {
    farm: 'handfast',
    members: [{ self: true, state: 'ready', address: farm.address }],
    handshakes: { full: 1, resumed: 0, failed: 0 },
    table: { records: Number, maxBytes: Number },
    transport: { recordsSent: Number },
  })
})

t.test('no answer holds what lets somebody in', async t => {
  const { ask, farm, port, secret, log } = await world(t)
  const secrets: Buffer[] = [Buffer.from(secret, 'base64url'), Buffer.from(token)]
  let text = ''
  for (const version of versions) {
    const first = await visit({ port, ...only(version) })
    const id = Buffer.from(lineageOf(first), 'hex')
    const value = cacheOf(farm).getLocal(tables.session, id)?.value ?? Buffer.alloc(0)
    const { session = Buffer.alloc(0) } = decodeSessionRecord(value) ?? {}
    const key = masterKeyOf(session, id)
    t.ok(key.length >= 32)
    secrets.push(id, key)
    const body = JSON.stringify({ session: id.toString('hex') })
    for (const headers of [bearer, {}]) {
      text += JSON.stringify(await ask('POST', '/revoke', { headers, body }))
    }
  }
  t.match((await ask('GET', '/revocations', { headers: bearer })).body, /"session"/)
  for (const path of ['/metrics', '/status', '/revocations', '/nothing']) {
    text += JSON.stringify(await ask('GET', path, { headers: bearer }))
  }
  text += JSON.stringify(log.lines)
  for (const [n, bytes] of secrets.entries()) {
    t.same(
      spellings(bytes).filter(spelling => text.includes(spelling)),
      [],
      `secret ${n}`,
    )
  }
})

t.test('a farm that is closed says so', async t => {
  const { ask, farm } = await world(t)
  await farm.close()
  t.equal((await ask('GET', '/status')).status, 200)
  t.equal((await ask('GET', '/metrics')).status, 200)
  const body = '{"user":"ann"}'
  t.equal((await ask('POST', '/revoke', { headers: bearer, body })).status, 503)
})

t.test('a port that is taken is told', async t => {
  const { admin, farm } = await world(t)
  const { port } = admin
  await t.rejects(createAdmin({ farm, port, token, log: memoryLog() }), {
    code: 'EADDRINUSE',
    message:
      `can't listen on 127.0.0.1:${port}: EADDRINUSE; another program has it, ` +
      `as ss -ltnp 'sport = :${port}' tells`,
  })
})

t.test(
  'whoever shows the token may ask the process for what signals ask for',
  async t => {
    const asked: string[] = []
    let isUp = true
    const { ask } = await world(t, {
      token,
      onAsked(word) {
        asked.push(word)
        return isUp
      },
    })
    for (const word of ['reload', 'drain', 'move', 'upgrade']) {
      const path = `/${word}`
      t.equal((await ask('POST', path)).status, 401)
      const wrong = { authorization: 'Bearer a guess' }
      t.equal((await ask('POST', path, { headers: wrong })).status, 401)
      t.equal((await ask('GET', path, { headers: bearer })).status, 404)
      t.strictSame(asked, [], 'nobody else may')
      isUp = true
      const { status, body } = await ask('POST', path, { headers: bearer })
      t.equal(status, 202)
      t.strictSame(JSON.parse(body), { asked: word })
      isUp = false
      t.equal((await ask('POST', path, { headers: bearer })).status, 503)
      t.strictSame(asked.splice(0), [word, word])
    }
    const bare = await world(t)
    const { status, body } = await bare.ask('POST', '/move', { headers: bearer })
    t.equal(status, 400)
    t.match(body, /this process has no move/)
  },
)
