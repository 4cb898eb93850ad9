import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hashSync } from 'bcryptjs'
import t, { type Test } from 'tap'
import { parseAddress } from '../../lib/address.ts'
import { readClientSession } from '../../lib/doctor/client-session.ts'
import { generateSecret, parseSecret } from '../../lib/farm/secret.ts'
import { SessionClient } from '../fixtures/auth/farm.ts'
import { token as jwtOf, signer } from '../fixtures/auth/tokens.ts'
import { basic } from '../fixtures/auth/world.ts'
import { startRelay } from '../fixtures/farm/stream-relay.ts'
import type {
  SecretsMemberReady,
  SecretsMemberSettings,
} from '../fixtures/flow/secrets-member.ts'
import { isBuilt } from '../fixtures/process/cli-process.ts'
import { untilSealed } from '../fixtures/resumption/until-sealed.ts'
import { masterKeyOf, only, spellings, versions } from '../fixtures/resumption/world.ts'
import { rootUrl } from '../fixtures/root.ts'
import { p256 } from '../fixtures/tls/certificates.ts'
import { unwrapped, visit } from '../fixtures/tls/client.ts'

/*
 * Two processes that log in users in every way that has a secret, hand out sessions and
 * tickets, and are asked for all that they tell: then everything that came out of them is
 * searched.
 */

/**
 * As built when that is current, as it is in `npm test`. From the sources the compiler is in the
 * heap too, and a snapshot takes half a minute: then there is none.
 */
const program = fileURLToPath(
  isBuilt
    ? new URL('dist/test/fixtures/flow/secrets-member.js', rootUrl)
    : new URL('test/fixtures/flow/secrets-member.ts', rootUrl),
)
const password = `pass-${randomBytes(9).toString('hex')}`
const guess = `guess-${randomBytes(9).toString('hex')}`
const ownSite = { 'sec-fetch-site': 'same-origin' }

t.test('nothing secret comes out', { timeout: 300_000 }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'handfast-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'users'), `ann:${hashSync(password, 4)}\n`)
  const secret = generateSecret()
  const adminToken = randomBytes(24).toString('base64url')
  const key = signer()
  const auth = {
    basic: { htpasswd: join(folder, 'users') },
    bearer: { key: key.publicPem, issuer: 'i', audience: 'a', algorithms: ['EdDSA'] },
    form: { htpasswd: join(folder, 'users') },
  }
  const relays = [await startRelay(t), await startRelay(t)] as const
  const children: ChildProcess[] = []
  const members: SecretsMemberReady[] = []
  for (const [n, relay] of relays.entries()) {
    const child = await startChild(t, folder)
    children.push(child)
    child.send({
      ...(await p256('localhost')),
      secret,
      auth,
      token: adminToken,
      advertise: relay.address,
      members: n === 0 ? [] : [relays[0].address],
      log: join(folder, `${n}.log`),
    } satisfies SecretsMemberSettings)
    const [ready] = (await once(child, 'message')) as [SecretsMemberReady]
    relay.lead(parseAddress(ready.address).port)
    members.push(ready)
  }
  const [a, b] = members as [SecretsMemberReady, SecretsMemberReady]

  /** What must be nowhere; the first kind not even in the memory of a member. */
  const words = new Map<string, string>()
  const bytes = new Map<string, Buffer>([['the farm secret', parseSecret(secret)]])
  words.set('a password', password)
  words.set('a wrong password', guess)

  await logInEveryWay(t, [a, b], key, words)
  const said: string[] = []
  for (const version of versions) {
    for (const servername of ['localhost', 'sealed.test']) {
      const at = { servername, ...only(version) }
      if (servername === 'sealed.test' && version === 'TLSv1.3') {
        await untilSealed(() => visit({ port: a.port, ...at }))
      }
      const { sessions } = await visit({ port: a.port, ...at })
      for (const [n, session] of sessions.entries()) {
        const { id, ticket } = readClientSession(session) ?? {}
        const name = `${version} ${servername} ${n}`
        if (id === undefined) throw new Error(name)
        const master = masterKeyOf(session, id)
        t.ok(master.length >= 32)
        bytes.set(`master key ${name}`, master)
        if (id.length > 0) bytes.set(`id ${name}`, id)
        if (ticket !== undefined) bytes.set(`ticket ${name}`, ticket.subarray(-32))
        await visit({ port: b.port, session, ...at })
        // What is asked of the admin port, well and badly, and its answers.
        const target = JSON.stringify({ lineage: id.toString('hex') })
        for (const [body, shown] of [
          [target, adminToken],
          [target.replace('}', ',"all":true}'), adminToken],
          [JSON.stringify({ [id.toString('hex')]: guess }), adminToken],
          [JSON.stringify({ session: `${id.toString('hex')}x` }), adminToken],
          [target, guess],
        ] as const) {
          said.push(await ask(a.admin, 'POST', '/revoke', shown, body))
        }
      }
    }
  }
  for (const { admin } of members) {
    for (const path of ['/status', '/metrics', '/revocations', `/${password}`]) {
      said.push(await ask(admin, 'GET', path, adminToken))
    }
  }
  // The path came from us: only its echo would be a leak, and that is looked for in the log.
  const snapshots: string[] = []
  for (const [n, child] of isBuilt ? children.entries() : []) {
    const file = join(folder, `${n}.heapsnapshot`)
    // The last requests are still in the parsers: others take their place.
    for (let i = 0; i < 10; i += 1) {
      await new SessionClient().once(members[n]?.port ?? 0, {}, { path: '/open' })
      await ask(members[n]?.admin ?? 0, 'GET', '/status', '')
    }
    child.send(file)
    await once(child, 'message')
    snapshots.push(readFileSync(file, 'latin1'))
  }
  for (const child of children) {
    child.disconnect()
    await once(child, 'exit')
  }

  const logs = members.map((_member, n) => readFileSync(join(folder, `${n}.log`), 'utf8'))
  const wire = Buffer.concat(relays.flatMap(({ captured }) => captured))
  const files = readdirSync(folder).filter(name => statSync(join(folder, name)).isFile())
  const made = files.filter(name => !name.endsWith('.heapsnapshot')).sort()
  t.same(made, ['0.log', '1.log', 'users'], 'no file but those that the test asked for')
  t.ok(wire.length > 10_000, `${wire.length} bytes on the wire`)
  t.ok(
    logs.every(log => /"level":20/.test(log)),
    'logged at every level',
  )
  t.ok(said.every(text => text.length > 0) && said.some(text => /lineage/.test(text)))
  t.ok(
    snapshots.every(text => text.includes(adminToken)),
    'what a member has to hold is found in its heap',
  )

  const everything = { logs: logs.join(), admin: said.join() }
  bytes.set('the admin token', Buffer.from(adminToken))
  for (const [name, word] of words) {
    for (const [where, text] of Object.entries(everything)) {
      t.notOk(text.includes(word), `${name} in ${where}`)
    }
    t.notOk(wire.includes(word), `${name} on the wire`)
    t.notOk(
      snapshots.some(text => text.includes(word)),
      `${name} in the heap`,
    )
  }
  for (const [name, secret] of bytes) {
    for (const [where, text] of Object.entries(everything)) {
      t.notOk(
        spellings(secret).some(form => text.includes(form)),
        `${name} in ${where}`,
      )
    }
    t.notOk(wire.includes(secret), `${name} on the wire`)
  }
})

/** With the working and the temporary directory in a place of its own. */
async function startChild(t: Test, folder: string): Promise<ChildProcess> {
  const env = { ...process.env, TMPDIR: folder }
  const child = fork(program, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env,
    ...(isBuilt ? { execArgv: [] } : {}),
  })
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  return child
}

/** Good and bad credentials of all kinds, on both members, and their traces as text. */
async function logInEveryWay(
  t: Test,
  [a, b]: readonly [SecretsMemberReady, SecretsMemberReady],
  key: ReturnType<typeof signer>,
  words: Map<string, string>,
): Promise<void> {
  const now = Math.floor(Date.now() / 1_000)
  const jwt = jwtOf(key, { iss: 'i', aud: 'a', sub: 'ann', iat: now, exp: now + 600 })
  const stale = jwtOf(key, { iss: 'i', aud: 'a', sub: 'ann', iat: now, exp: now - 600 })
  const good = basic('ann', password)
  const bad = basic('ann', guess)
  words.set('Basic credentials', good.authorization.slice(6))
  words.set('wrong Basic credentials', bad.authorization.slice(6))
  words.set('a bearer token', jwt.split('.')[2] as string)
  words.set('an old bearer token', stale.split('.')[2] as string)
  const bearer = (text: string) => ({ authorization: `Bearer ${text}` })
  for (const [headers, status] of [
    [good, 200],
    [bad, 401],
    [bearer(jwt), 200],
    [bearer(stale), 401],
    [bearer(guess), 401],
    [{ authorization: guess }, 401],
    [{ cookie: `__Host-handfast=${guess}` }, 401],
  ] as const) {
    const client = new SessionClient()
    t.equal((await client.once(a.port, headers)).status, status)
    if (status === 200) t.equal((await client.once(b.port, headers)).status, 200)
    if (client.session !== undefined) client.session = unwrapped(client.session)
  }
  const client = new SessionClient()
  for (const [given, status] of [
    [guess, 401],
    [password, 303],
  ] as const) {
    const page = await client.once(a.port, {}, { path: '/login' })
    const [, value = ''] = /name="token" value="([^"]+)"/.exec(page.text) ?? []
    words.set(`the token of a form ${status}`, value)
    const fields = { username: 'ann', password: given, token: value, to: '/' }
    const sent = await client.once(
      a.port,
      { ...ownSite, 'content-type': 'application/x-www-form-urlencoded' },
      { method: 'POST', path: '/login', body: String(new URLSearchParams(fields)) },
    )
    t.equal(sent.status, status)
  }
  const cookie = client.cookies.get('__Host-handfast') ?? ''
  t.ok(cookie.length > 40)
  words.set('the cookie of a log-in', cookie.split('.')[0] as string)
  client.session = undefined
  t.equal((await client.once(b.port)).status, 200, 'by the cookie')
}

function ask(
  port: number,
  method: string,
  path: string,
  token: string,
  body?: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` }
    const asked = request({
      port,
      host: '127.0.0.1',
      method,
      path,
      headers,
      agent: false,
    })
    asked.on('error', reject)
    asked.on('response', async response => {
      let text = JSON.stringify(response.headers)
      for await (const chunk of response.setEncoding('utf8')) text += chunk
      resolve(text)
    })
    asked.end(body)
  })
}
