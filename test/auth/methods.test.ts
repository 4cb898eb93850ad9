import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import * as promises from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import t from 'tap'
import { readBasic } from '../../lib/auth/method/basic.ts'
import { Bcrypt } from '../../lib/auth/method/bcrypt.ts'
import { Htpasswd, parseHtpasswd } from '../../lib/auth/method/htpasswd.ts'
import { systemClock } from '../../lib/clock.ts'
import { HandClock, KeptLog, makeBasis } from '../fixtures/auth/world.ts'

const annsHash = hashSync('correct horse', 4)
/** One thread for all: to start one takes a while here. */
const bcryptClock = new HandClock()
const bcrypt = new Bcrypt(bcryptClock, { timeout: 1_000 })
t.teardown(() => bcrypt.close())

t.test('an htpasswd file', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'handfast-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'users')
  const clock = new HandClock()
  const log = new KeptLog()
  let age = 100
  const write = (text: string) => {
    writeFileSync(path, text)
    // Each version is told apart however fast they follow each other.
    age -= 1
    utimesSync(path, age, age)
  }
  write(`# staff\n\nann:${annsHash}\r\n`)
  const users = new Htpasswd(path, { bcrypt, clock, log, makeBasis })

  await t.test('knows its users by their passwords', async t => {
    t.same(await users.verify('ann', 'correct horse'), makeBasis(annsHash))
    t.equal(await users.verify('ann', 'wrong'), false)
    t.equal(await users.verify('Ann', 'correct horse'), false)
    t.equal(await users.verify('bob', 'correct horse'), false, "not with another's")
    t.equal(await users.verify('', ''), false)
  })

  await t.test('takes what htpasswd -B writes', async t => {
    // `htpasswd -nbB -C 4 ann 'correct horse'` writes $2y$, which is $2b$ by another name.
    write(`ann:${annsHash.replace(/^\$2b/, '$2y')}\n`)
    clock.advance(1_000)
    t.ok(await users.verify('ann', 'correct horse'))
  })

  await t.test('is read again when it changes, at most once a second', async t => {
    write(`bob:${annsHash}\n`)
    t.ok(await users.verify('ann', 'correct horse'), 'not looked at yet')
    clock.advance(1_000)
    t.equal(await users.verify('ann', 'correct horse'), false)
    t.ok(await users.verify('bob', 'correct horse'))
    t.same(users.basisOf('bob'), makeBasis(annsHash))
    t.equal(users.basisOf('ann'), undefined)
  })

  await t.test('leaves the users as they were when it can not be taken', async t => {
    write('bob:$apr1$abcdefgh$0123456789012345678901\n')
    clock.advance(1_000)
    t.ok(await users.verify('bob', 'correct horse'))
    t.match(log.lines.at(-1), /^error .*line 1 has an Apache MD5 hash/)
    rmSync(path)
    clock.advance(1_000)
    t.ok(await users.verify('bob', 'correct horse'))
    t.match(log.lines.at(-1), /^error .*ENOENT/)
    const { length } = log.lines
    write('')
    clock.advance(1_000)
    t.equal(await users.verify('bob', 'correct horse'), false, 'an empty one is good')
    t.match(log.lines.slice(length).join(), /read again/)
  })

  await t.test('is read when it can be, after it could not for a while', async t => {
    const faults: (Error | undefined)[] = []
    const mocked: typeof import('../../lib/auth/method/htpasswd.ts') = await t.mockImport(
      '../../lib/auth/method/htpasswd.ts',
      {
        'node:fs/promises': {
          ...promises,
          readFile: async (file: string) => {
            const fault = faults.shift()
            if (fault !== undefined) throw fault
            return promises.readFile(file)
          },
        },
      },
    )
    write(`ann:${annsHash}\nbob:${annsHash}\n`)
    const kept = new mocked.Htpasswd(path, { bcrypt, clock, log, makeBasis })
    const full = Object.assign(new Error('no descriptors'), { code: 'EMFILE' })
    faults.push(full, full)
    write(`ann:${annsHash}\n`)
    const { length } = log.lines
    for (let second = 0; second < 2; second++) {
      clock.advance(1_000)
      await kept.refresh()
      t.ok(kept.basisOf('bob'), 'the users are as they were')
    }
    t.match(log.lines.slice(length), [/EMFILE/], 'said once')
    clock.advance(1_000)
    await kept.refresh()
    t.equal(kept.basisOf('bob'), undefined, 'who was taken out is out')
    t.ok(kept.basisOf('ann'))
  })

  await t.test('takes as long for users who do not exist', async t => {
    const seen: string[] = []
    const watched = {
      compare: async (_password: string, hash: string) => {
        seen.push(hash)
        return true
      },
    } as unknown as Bcrypt
    write(`ann:${annsHash}\nbob:${hashSync('x', 5)}\n`)
    const watching = new Htpasswd(path, { bcrypt: watched, clock, log, makeBasis })
    t.equal(await watching.verify('nobody', 'x'), false)
    await watching.verify('nobody', 'x')
    t.equal(seen[0], seen[1], 'always the same hash for a name')
    for (let i = 0; i < 50; i++) await watching.verify(`nobody${i}`, 'x')
    t.equal(new Set(seen).size, 2, 'all costs in the file')
    write('')
    t.equal(
      await new Htpasswd(path, { bcrypt: watched, clock, log, makeBasis }).verify(
        'x',
        'x',
      ),
      false,
    )
    t.match(seen.at(-1), /^\$2b\$10\$.{53}$/, 'a hash even when there are none')
  })

  await t.test('is refused with the line and never the hash', async t => {
    const secret = 'c2VjcmV0aGFzaA'
    const cases: [string, RegExp][] = [
      [`ann:${annsHash}\nbob:$apr1$${secret}`, /line 2 has an Apache MD5 hash/],
      [`bob:{SHA}${secret}`, /line 1 has an unsalted SHA-1 hash/],
      [`bob:$6$${secret}`, /line 1 has a SHA crypt hash/],
      [`bob:${secret}`, /line 1 has a hash of an unknown kind/],
      [`bob:${annsHash.slice(0, -1)}`, /line 1 has a damaged bcrypt hash/],
      ['bob:', /line 1 has a hash of an unknown kind, or none/],
      [`${secret}`, /line 1 is not user:hash/],
      [`:${annsHash}`, /line 1 is not user:hash/],
      [`ann:${annsHash}\n#\nann:${annsHash}`, /line 3 names a user for the second time/],
      [`bob:${annsHash.replace('$04$', '$15$')}`, /line 1 has a bcrypt cost of 15/],
      [`bob:${annsHash.replace('$04$', '$03$')}`, /line 1 has a bcrypt cost of 3/],
      [`b\x01b:${annsHash}`, /line 1 has a user name/],
      ['#'.repeat(4 * 1024 * 1024 + 1), /larger than 4 MiB/],
    ]
    for (const [text, message] of cases) {
      t.throws(() => parseHtpasswd(Buffer.from(text), 'users'), {
        code: 'ERR_HANDFAST_CONFIG',
        message,
      })
      try {
        parseHtpasswd(Buffer.from(text), 'users')
      } catch (error) {
        t.notOk(String(error).includes(secret) || String(error).includes(annsHash))
      }
    }
  })
})

t.test('bcrypt in its own thread', async t => {
  await t.test('leaves the caller free to go on', async t => {
    const slow = hashSync('x', 9)
    let ticks = 0
    const ticking = setInterval(() => (ticks += 1), 1)
    const all = Array.from({ length: 5 }, (_, i) =>
      bcrypt.compare(i === 3 ? 'x' : 'y', slow),
    )
    t.same(await Promise.all(all), [false, false, false, true, false])
    clearInterval(ticking)
    t.ok(ticks > 5, `${ticks} ticks meanwhile`)
  })
  await t.test(
    'says that it can not tell when too many wait, or it is closed',
    async t => {
      const bcrypt = new Bcrypt(systemClock)
      const many = Array.from({ length: 129 }, () => bcrypt.compare('x', annsHash))
      t.equal(await many[128], undefined)
      await bcrypt.close()
      t.equal(await many[127], undefined)
      t.equal(await bcrypt.compare('x', annsHash), undefined)
    },
  )
  await t.test('gives up on time', async t => {
    const slow = bcrypt.compare('x', hashSync('x', 9))
    bcryptClock.advance(1_000)
    t.equal(await slow, undefined)
    t.equal(await bcrypt.compare('correct horse', annsHash), true, 'and goes on')
  })
})

t.test('Basic credentials are base64 of user:password in UTF-8', async t => {
  const read = (bytes: string | Buffer) =>
    readBasic(Buffer.from(bytes).toString('base64'))
  t.same(read('ann:a:b'), { user: 'ann', password: 'a:b' })
  t.same(read('Zoë:学'), { user: 'Zoë', password: '学' })
  t.same(read('ann:'), { user: 'ann', password: '' })
  const cases = ['ann', ':x', 'ann:\0x', 'a\nnn:x', Buffer.from([0x61, 0x3a, 0xff])]
  for (const bad of cases) t.equal(read(bad), undefined)
  for (const bad of ['', '%', 'YW5uOng=!', ' ', 'YW5u Og==', 'YW5u'.repeat(1_000)]) {
    t.equal(readBasic(bad), undefined)
  }
})
