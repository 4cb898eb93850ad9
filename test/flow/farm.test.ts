import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { ProcessFarm } from '../fixtures/flow/process-farm.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import { type Visit, type VisitOptions, visit } from '../fixtures/tls/client.ts'
import { connectRewriting } from '../fixtures/tls/first-write.ts'
import { splitRecords } from '../fixtures/tls/hello.ts'
import type { Told } from '../fixtures/tls/servers.ts'

const seed = testSeed()
t.comment(`SEED=${seed}`)
const random = seededRandom(seed)

const farm = new ProcessFarm(t)
await farm.add()
await Promise.all([farm.add(), farm.add()])

const port = (index: number): number => farm.members[index]?.port ?? 0
const told = (visited: Visit): Told => JSON.parse(visited.body)
const versions = ['TLSv1.2', 'TLSv1.3'] as const

function resume(
  index: number,
  session: Buffer | undefined,
  options = {},
): Promise<Visit> {
  return visit({ port: port(index), session, ...options } as VisitOptions)
}

for (const version of versions) {
  const only = { minVersion: version, maxVersion: version }

  t.test(`${version}: minted on any member, resumed on any other`, async t => {
    for (const from of [0, 1, 2]) {
      for (const to of [0, 1, 2]) {
        const first = await visit({ port: port(from), ...only })
        for (const session of first.sessions) {
          const again = await resume(to, session, only)
          t.equal(again.reused, true, `${from} -> ${to}`)
          t.equal(told(again).lineage, told(first).lineage)
        }
      }
    }
  })

  t.test(
    `${version}: 50 resumptions over random members, each ticket used once`,
    async t => {
      let session = (await visit({ port: port(0), ...only })).sessions[0]
      let resumed = 0
      for (let n = 0; n < 50; n += 1) {
        const again = await resume(Math.floor(random() * 3), session, only)
        if (again.reused) resumed += 1
        session = again.sessions.at(-1) ?? session
      }
      t.equal(resumed, 50)
    },
  )

  t.test(
    `${version}: a client that is back elsewhere at once resumes every time`,
    async t => {
      let resumed = 0
      let offered = 0
      for (let n = 0; n < 200; n += 1) {
        const home = Math.floor(random() * 3)
        const first = await visit({ port: port(home), handshakeOnly: true, ...only })
        const elsewhere = first.sessions.map((session, at) =>
          resume((home + 1 + (at % 2)) % 3, session, { handshakeOnly: true, ...only }),
        )
        for (const again of await Promise.all(elsewhere)) {
          offered += 1
          if (again.reused) resumed += 1
        }
      }
      t.equal(resumed, offered)
      t.equal(offered, version === 'TLSv1.3' ? 400 : 200, 'both tickets of TLS 1.3')
    },
  )

  t.test(`${version}: a hello in pieces resumes`, async t => {
    const shapes = {
      'in segments of one byte': (hello: Buffer) =>
        Array.from(hello, byte => Buffer.of(byte)),
      'over two records': (hello: Buffer) => [splitRecords(hello, 150)],
      'over two records in segments': (hello: Buffer) => {
        const records = splitRecords(hello, 200)
        return [records.subarray(0, 207), records.subarray(207)]
      },
    }
    for (const [shape, rewrite] of Object.entries(shapes)) {
      const first = await visit({ port: port(0), ...only })
      const over = connectRewriting(port(1), rewrite)
      const again = await resume(1, first.sessions[0], { over, ...only })
      t.equal(again.reused, true, shape)
    }
    const filler = Array.from({ length: 66 }, (_, n) => `${n}`.padEnd(250, 'x'))
    const ALPNProtocols = [...filler, 'http/1.1']
    const first = await visit({ port: port(0), ALPNProtocols, ...only })
    const again = await resume(1, first.sessions[0], { ALPNProtocols, ...only })
    t.equal(again.reused, true, 'of more than 16 KiB')
  })

  t.test(`${version}: openssl s_client resumes on another member`, async t => {
    const folder = await mkdtemp(join(tmpdir(), 'handfast-'))
    t.teardown(() => rm(folder, { recursive: true }))
    const file = join(folder, 'session.pem')
    const flag = version === 'TLSv1.3' ? '-tls1_3' : '-tls1_2'
    const shapes = version === 'TLSv1.3' ? [[], ['-no_middlebox']] : [[]]
    for (const shape of shapes) {
      const minted = await sClient(port(0), [flag, ...shape, '-sess_out', file])
      t.match(minted, /^New, /m)
      for (const index of [1, 2]) {
        const again = await sClient(port(index), [flag, ...shape, '-sess_in', file])
        t.match(again, /^Reused, /m, `on ${index} ${shape.join(' ')}`)
      }
    }
  })
}

t.test('a member that joins under load resumes everything', async t => {
  const minted: { session: Buffer; only: object }[] = []
  let loading = true
  const load = (async () => {
    for (let n = 0; loading; n += 1) {
      const version = versions[n % 2] as (typeof versions)[number]
      const only = { minVersion: version, maxVersion: version }
      const { sessions } = await visit({
        port: port(n % 3),
        handshakeOnly: true,
        ...only,
      })
      for (const session of sessions) minted.push({ session, only })
    }
  })()
  await farm.add()
  loading = false
  await load
  t.ok(minted.length > 20, `${minted.length} sessions were minted meanwhile`)
  for (const { session, only } of minted.slice(-300)) {
    const again = await resume(3, session, { handshakeOnly: true, ...only })
    if (!again.reused) t.fail('a session was not known to the new member')
  }
  const { causes } = (await farm.stats(3)).handshakes
  t.notOk(causes['full:unknown'])
})

t.test('the sessions of a member that is killed resume on the others', async t => {
  const minted: { session: Buffer | undefined; only: object }[] = []
  for (const version of versions) {
    const only = { minVersion: version, maxVersion: version }
    for (let n = 0; n < 10; n += 1) {
      const { sessions } = await visit({ port: port(0), ...only })
      minted.push({ session: sessions[0], only })
    }
  }
  await farm.kill(0, 'SIGKILL')
  for (const [n, { session, only }] of minted.entries()) {
    t.equal((await resume(1 + (n % 3), session, only)).reused, true)
  }
  await t.rejects(visit({ port: port(0) }), 'and it is dead indeed')
})

async function sClient(port: number, options: string[]): Promise<string> {
  const address = [
    '-connect',
    `127.0.0.1:${port}`,
    '-servername',
    'localhost',
    '-ign_eof',
  ]
  const running = promisify(execFile)('openssl', ['s_client', ...address, ...options])
  running.child.stdin?.end('GET / HTTP/1.0\r\n\r\n')
  return (await running).stdout
}
