import t from 'tap'
import { certificateDigest } from '../../lib/resumption/session/session-record.ts'
import { bearer, lineageOf, token, world } from '../fixtures/admin/world.ts'
import { only, resume, told, versions } from '../fixtures/resumption/world.ts'
import { type Visit, visit } from '../fixtures/tls/client.ts'

t.test('what is revoked here does not resume', async t => {
  const { ask, port } = await world(t)
  const revoke = (target: object) =>
    ask('POST', '/revoke', { headers: bearer, body: JSON.stringify(target) })
  for (const version of versions) {
    const minted = await Promise.all([1, 2].map(() => visit({ port, ...only(version) })))
    const [one, two] = minted as [Visit, Visit]
    const { status, body } = await revoke({ lineage: lineageOf(one), reason: 'left' })
    t.equal(status, 200)
    t.match(JSON.parse(body), { at: Number, everywhere: true })
    t.match(told(await resume(port, one.sessions[0], only(version))), {
      cause: 'revoked',
    })
    t.equal((await resume(port, two.sessions[0], only(version))).reused, true)
    t.equal((await revoke({ session: lineageOf(two) })).status, 200)
    t.match(told(await resume(port, two.sessions[0], only(version))), {
      cause: 'revoked',
    })
  }
  const digest = certificateDigest(Buffer.from('a certificate'))
  const whole = Buffer.concat([digest, Buffer.alloc(16)]).toString('hex')
  for (const target of [
    { user: 'ann', close: true },
    { serverName: 'a.test' },
    { certificate: digest.toString('hex') },
    { certificate: whole.toUpperCase().replace(/..(?=.)/g, '$&:') },
    { all: true },
  ]) {
    const { status, body } = await revoke(target)
    t.equal(status, 200, `${Object.keys(target)} ${body}`)
  }
})

t.test('what is revoked is listed, for who has the token', async t => {
  const { ask, farm } = await world(t)
  const list = (headers: { [name: string]: string } = bearer) =>
    ask('GET', '/revocations', { headers })
  t.same(JSON.parse((await list()).body), { revocations: [] })
  const body = JSON.stringify({ user: 'ann', reason: 'left' })
  await ask('POST', '/revoke', { headers: bearer, body })
  const { status, body: listed } = await list()
  t.equal(status, 200)
  t.match(JSON.parse(listed), {
    revocations: [
      { kind: 'user', name: 'ann', at: Number, until: Number, reason: 'left' },
    ],
  })
  t.same(JSON.parse(listed).revocations, farm.revocations())
  for (const headers of [{}, { authorization: token }, { authorization: 'Bearer x' }]) {
    const refused = await list(headers as { [name: string]: string })
    t.equal(refused.status, 401)
    t.notMatch(refused.body, /ann/)
  }
})

t.test('nothing is changed', async t => {
  const { ask, farm, port } = await world(t)
  const minted = await visit({ port })
  const records = farm.stats().table.records
  const body = JSON.stringify({ all: true })
  await t.test('without the token', async t => {
    const shown: { [name: string]: string }[] = [
      {},
      { authorization: '' },
      { authorization: token },
      { authorization: `Basic ${token}` },
      { authorization: `Bearer ${token} x` },
      { authorization: `Bearer ${token.slice(0, -1)}` },
      { authorization: 'Bearer undefined' },
    ]
    for (const headers of shown) {
      const { status } = await ask('POST', '/revoke', { headers, body })
      t.equal(status, 401, JSON.stringify(headers))
    }
    const none = await world(t, {})
    for (const authorization of ['Bearer undefined', 'Bearer ', '']) {
      const { status } = await none.ask('POST', '/revoke', {
        headers: { authorization },
        body,
      })
      t.equal(status, 401, 'where there is none, nobody has it')
    }
  })
  await t.test('by a body that does not say exactly what', async t => {
    const id = 'ab'.repeat(32)
    const bodies = [
      '',
      'null',
      '[]',
      '7',
      '{',
      '{}',
      '{"all":false}',
      '{"all":"true"}',
      '{"all":1}',
      '{"usr":"ann"}',
      '{"__proto__":{"all":true}}',
      '{"constructor":true}',
      '{"user":""}',
      '{"user":7}',
      `{"user":"${'x'.repeat(1025)}"}`,
      '{"user":"ann","all":true}',
      '{"user":"ann","reason":7}',
      '{"user":"ann","reason":"a\\nb"}',
      '{"user":"ann","reason":"\\u001b[2J"}',
      `{"user":"ann","reason":"${'x'.repeat(501)}"}`,
      '{"user":"ann","close":"yes"}',
      '{"serverName":["a.test"]}',
      '{"session":"xyz"}',
      `{"session":"${id.slice(2)}"}`,
      `{"session":"${id}ab"}`,
      `{"lineage":"${id}${id}"}`,
      `{"certificate":"${id.slice(0, 30)}"}`,
      `{"certificate":"${id}ab"}`,
      `{"certificate":{"length":32}}`,
      `{"user":"ann"} ${' '.repeat(5000)}`,
      'x'.repeat(300_000),
    ]
    for (const body of bodies) {
      const answer = await ask('POST', '/revoke', { headers: bearer, body })
      t.equal(answer.status, 400, body.slice(0, 40))
      t.type(JSON.parse(answer.body).error, 'string')
      t.ok(answer.body.length < 300, 'and the body is not repeated')
    }
    const binary = { headers: bearer, body: Buffer.from([0xff, 0xfe, 0x7b]) }
    t.equal((await ask('POST', '/revoke', binary)).status, 400)
  })
  await t.test('by another method or path', async t => {
    for (const [method, path] of [
      ['GET', '/revoke'],
      ['POST', '/revocations'],
      ['GET', '/revocations?all=true'],
      ['PUT', '/revoke'],
      ['DELETE', '/revoke'],
      ['POST', '/revoke/'],
      ['POST', '/revoke?all=true'],
      ['POST', '/metrics'],
      ['POST', '/status'],
      ['POST', '/'],
      ['GET', '/../status'],
      ['OPTIONS', '/status'],
    ] as const) {
      const sent = method === 'POST' || method === 'PUT' ? { body } : {}
      const { status } = await ask(method, path, { headers: bearer, ...sent })
      t.equal(status, 404, `${method} ${path}`)
    }
  })
  t.equal(farm.stats().table.records, records)
  t.equal((await resume(port, minted.sessions[0])).reused, true)
})
