import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseTarget } from '../../lib/doctor/target.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { createFarm } from '../../lib/member/create-farm.ts'
import { diagnosed, doctor, found, pair } from '../fixtures/cli/doctor-run.ts'
import { certificateFor } from '../fixtures/tls/servers.ts'

/** Two servers of one farm in stateful mode, each with its own member. */
async function attachedPair(t: Test) {
  const secret = generateSecret()
  const listen = { host: '127.0.0.1', port: 0 }
  const first = await createFarm({ secret, listen })
  t.teardown(() => first.close())
  const second = await createFarm({ secret, listen, members: [first.address ?? ''] })
  t.teardown(() => second.close())
  return await pair(t, {}, (server, i) => (i === 0 ? first : second).attach(server))
}

t.test('two bare servers: nothing resumes across', async t => {
  const [a, b] = await pair(t, {})
  const seen = await diagnosed(a, b, '--servername', 'localhost')
  t.match(found(seen), [
    /./,
    /./,
    'bad not-at-home tls12-id',
    'bad not-across tls12-ticket',
    'bad not-across tls13',
    'bad chain tls13',
  ])
  t.ok(found(seen).includes('note keys-differ'))
  t.equal(seen.version, 1)
  t.equal(seen.verdict, 'broken')
  t.same(
    seen.kinds[2]?.cells.map(({ outcome }) => outcome),
    ['resumed', 'full', 'full', 'resumed'],
  )
  t.ok(seen.addresses.every(({ http }) => http === 'HTTP/1.1 200 OK'))
  t.ok(seen.handshakes < 60, `${seen.handshakes} handshakes`)

  const { code, text } = await doctor(a, b, '--servername', 'localhost')
  t.equal(code, 1)
  t.match(text, `A  127.0.0.1:${a}  TLSv1.3, HTTP/1.1 200 OK`)
  t.match(text, /TLS 1\.3 tickets \(made on the row, offered on the column\)\n +A +B\n/)
  t.match(text, /A +yes +no\n/)
  t.match(text, /Give all servers the same ticket keys/)
})

t.test('shared ticketKeys: tickets resume, IDs do not, and tickets run out', async t => {
  const ticketKeys = randomBytes(48)
  const [a, b] = await pair(t, { ticketKeys, sessionIdContext: 'same' })
  const seen = await diagnosed(a, b)
  const codes = found(seen)
  t.ok(codes.includes('good resumes tls12-ticket'))
  t.ok(codes.includes('good resumes tls13'))
  t.ok(codes.includes('note not-at-home tls12-id'))
  t.ok(codes.includes('bad chain tls13'), 'stock Node does not renew (tls.md, 6)')
  t.ok(codes.includes('bad renewal tls13'))
  t.ok(codes.includes('good keys-shared'))
  t.equal(seen.ticketKeys.keys[0]?.name, ticketKeys.toString('hex', 0, 16))
  t.notOk(JSON.stringify(seen).includes(ticketKeys.toString('hex', 16, 32)))
  t.match(seen.chain, { steps: 20, renewed: 0 })
  t.ok((seen.chain?.resumed ?? 20) < 15)

  const only = ['--only', 'tls12-ticket'] as const
  t.equal((await doctor(a, b, ...only)).code, 0, 'a script may ask for less')
  const ids = await doctor(a, b, '--only', 'tls12-id')
  t.equal(ids.code, 1, 'or for IDs, which nothing makes up for then')
})

t.test('an attached pair passes everything', async t => {
  const [a, b] = await attachedPair(t)
  const args = [a, b, '--servername', 'localhost', '--other-name', 'other.test'] as const
  const seen = await diagnosed(...args)
  t.same(
    seen.findings.filter(({ level }) => level === 'bad'),
    [],
  )
  t.match(seen.chain, { steps: 20, resumed: 20, renewed: 20 })
  const codes = found(seen)
  for (const code of ['good resumes tls12-id', 'good resumes tls13', 'good other-name']) {
    t.ok(codes.includes(code), code)
  }
  t.ok(codes.includes('note stateful'))
  const { code, text } = await doctor(...args)
  t.equal(code, 0)
  t.match(text, /All that should resume does\./)
})

t.test('resuming under another name is found', async t => {
  const key = await certificateFor('localhost')
  const [a] = await pair(t, {}, server => server.addContext('other.test', key))
  const args = [a, '--servername', 'localhost', '--other-name', 'other.test'] as const
  const { code, text } = await doctor(...args, '--only', 'tls13')
  t.equal(code, 1)
  t.match(text, /made under localhost resume under other\.test \(TLS 1\.3 tickets/)
  t.match(text, /CVE-2025-23419/)
})

t.test('a server of one version only is no fault', async t => {
  const ticketKeys = randomBytes(48)
  const options = { ticketKeys, sessionIdContext: 'same' }
  const [old] = await pair(t, { ...options, maxVersion: 'TLSv1.2' })
  const seen = await diagnosed(old, '--only', 'tls12-ticket', '--only', 'tls13')
  t.equal(seen.verdict, 'ok')
  t.same(seen.kinds[1]?.unspoken, [`127.0.0.1:${old}`])
  t.equal(seen.chain, undefined)
  t.match(seen.findings.map(({ text }) => text).join(' '), /No address speaks TLS 1\.3\./)

  const [fresh] = await pair(t, { ...options, minVersion: 'TLSv1.3' })
  const mixed = await diagnosed(old, fresh)
  t.ok(found(mixed).includes('bad made-by-some tls13'))
})

t.test('an earlier run tells the age of a ticket key', async t => {
  const [a, b] = await pair(t, { ticketKeys: randomBytes(48), sessionIdContext: 'same' })
  const seen = await diagnosed(a, b)
  const folder = await mkdtemp(join(tmpdir(), 'doctor-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const file = join(folder, 'before.json')
  const at = new Date(Date.parse(seen.at) - 30 * 3_600_000).toISOString()
  await writeFile(file, JSON.stringify({ ...seen, at }))
  const later = await diagnosed(a, b, '--compare', file)
  t.match(found(later).join(), /bad keys-old/)
  t.match(later.findings.map(({ text }) => text).join(), /for at least 30\.0 h/)
  await writeFile(file, '{}')
  await t.rejects(doctor(a, '--compare', file), { code: 'ERR_HANDFAST_CONFIG' })
})

t.test('bad options are named', async t => {
  for (const [args, message] of [
    [[], /give an address/],
    [['a b'], /expected HOST or HOST:PORT/],
    [['h:0'], /expected HOST/],
    [['h:99999'], /expected HOST/],
    [['[1.2.3.4]:1'], /expected HOST/],
    [['h', '--timeout', '0'], /--timeout/],
    [['h', '--timeout', 'x'], /--timeout/],
    [['h', '--chain', '201'], /--chain/],
    [['h', '--only', 'tls11'], /--only/],
    [['h', '--servername', 'a b'], /--servername/],
    [['h', '--ca', '/nowhere/at/all'], /--ca: can not read/],
    [['h', '--what'], /unknown option/],
    [Array.from({ length: 9 }, (_, i) => `h${i}`), /at most 8/],
  ] as [string[], RegExp][]) {
    await t.rejects(
      doctor(...args),
      { code: 'ERR_HANDFAST_CONFIG', message },
      args.join(' '),
    )
  }
  t.same(parseTarget('[::1]'), { host: '::1', port: 443, label: '[::1]:443' })
  t.same(parseTarget('shop.test'), {
    host: 'shop.test',
    port: 443,
    label: 'shop.test:443',
  })
})
