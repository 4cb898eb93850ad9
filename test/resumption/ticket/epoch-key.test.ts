import { createCipheriv, createHmac, hkdfSync } from 'node:crypto'
import t from 'tap'
import { EpochKey } from '../../../lib/resumption/ticket/epoch-key.ts'

const master = () => Buffer.alloc(32, 9)

t.test('all that a ticket needs is drawn from the key as documented', async t => {
  const key = new EpochKey(master())
  const derive = (info: string, length: number) =>
    Buffer.from(hkdfSync('sha256', master(), '', info, length))
  const { hmac, aes } = key.for('p a.test')
  const bytes = derive('handfast sealed ticket 1 scope p a.test', 48)
  t.same(Buffer.concat([hmac, aes]), bytes)
  t.equal(hmac.length, 32)
  t.equal(aes.length, 16)
  const iv = Buffer.alloc(16, 3)
  const cipher = createCipheriv(
    'aes-128-ecb',
    derive('handfast sealed ticket 1 name', 16),
    null,
  )
  t.same(key.mask(iv), cipher.update(iv))
  t.equal(key.for('p a.test').hmac, hmac, 'once for each scope')
  t.notSame(key.for('p b.test').hmac, hmac)
  t.notSame(new EpochKey(Buffer.alloc(32, 8)).for('p a.test').hmac, hmac)
})

t.test('what is drawn is never drawn again, and nobody else writes to it', async t => {
  const key = new EpochKey(master())
  const drawn = Array.from({ length: 1_000 }, () => key.draw())
  t.equal(new Set(drawn.map(({ iv }) => iv.toString('hex'))).size, 1_000)
  for (const { iv, mask } of drawn) t.same(mask, key.mask(iv))
})

t.test('names without end cost no memory', async t => {
  const key = new EpochKey(master())
  const first = key.for('0')
  const before = Buffer.from(first.hmac)
  for (let n = 1; n <= 1_024; n += 1) key.for(`${n}`)
  await new Promise(setImmediate)
  t.ok(
    first.hmac.every(byte => byte === 0),
    'the oldest is forgotten',
  )
  t.same(key.for('0').hmac, before, 'and made again')
})

t.test('a key that has ended seals and opens nothing', async t => {
  const key = new EpochKey(master())
  const { hmac, aes } = key.for('p')
  const held = Buffer.from(hmac)
  const { mask } = key.draw()
  const name = Buffer.from(mask)
  key.destroy()
  t.equal(key.destroyed, true)
  t.same(hmac, held, 'TLS may be about to read it')
  t.same(mask, name, 'and this')
  t.notSame(createHmac('sha256', hmac).digest(), createHmac('sha256', '').digest())
  await new Promise(setImmediate)
  t.ok([...hmac, ...aes].every(byte => byte === 0))
  for (const use of [() => key.for('q'), () => key.mask(mask), () => key.draw()]) {
    t.throws(use, { code: 'ERR_HANDFAST_CLOSED' })
  }
})

t.test('a key must be random bytes', async t => {
  for (const bad of [Buffer.alloc(32), Buffer.alloc(31, 1)]) {
    t.throws(() => new EpochKey(bad), { code: 'ERR_HANDFAST_USAGE' })
  }
})
