import { randomBytes } from 'node:crypto'
import t from 'tap'
import { formatAddress, parseAddress, plainHost } from '../../lib/address.ts'
import { farmKey, generateSecret, parseSecret } from '../../lib/farm/secret.ts'

t.test('a secret is read in each of its spellings', async t => {
  const bytes = Buffer.concat([Buffer.from([0xfb, 0xff, 0xfe]), randomBytes(29)])
  for (const text of [
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    bytes.toString('base64'),
    bytes.toString('base64').replace('=', ''),
    bytes.toString('base64url'),
    ` ${bytes.toString('base64url')}\n`,
  ]) {
    t.same(parseSecret(text), bytes)
  }
  t.same(parseSecret(bytes), bytes)
  t.equal(parseSecret(generateSecret()).length, 32)
  t.not(generateSecret(), generateSecret())
})

t.test('anything else is refused, and the error does not tell it', async t => {
  const bytes = randomBytes(32)
  const texts = [
    '',
    'hunter2 hunter2',
    bytes.toString('hex').slice(1),
    `${bytes.toString('hex')}00`,
    bytes.toString('base64url').slice(1),
    `${bytes.toString('base64url').slice(0, 42)}B`,
    'x'.repeat(64),
    'x'.repeat(10_000),
  ]
  for (const text of texts) {
    t.throws(() => parseSecret(text), { code: 'ERR_HANDFAST_CONFIG' })
    try {
      parseSecret(text)
    } catch (error) {
      if (text.length > 4)
        t.notOk(String(error).includes(text.slice(0, 5)), text.slice(0, 9))
    }
  }
  t.throws(() => parseSecret(Buffer.alloc(31)), { message: /31 bytes/ })
  t.throws(() => parseSecret(Buffer.alloc(32)), { message: /got zeros/ })
})

t.test('each farm and each purpose has a key of its own', async t => {
  const secret = Buffer.alloc(32, 1)
  const keys = [
    farmKey(secret, 'shop', 'a'),
    farmKey(secret, 'shop', 'b'),
    farmKey(secret, 'shops', 'a'),
    farmKey(secret, '', 'a'),
    farmKey(Buffer.alloc(32, 2), 'shop', 'a'),
  ]
  t.equal(new Set(keys.map(key => key.toString('hex'))).size, keys.length)
  t.same(farmKey(secret, 'shop', 'a'), keys[0])
  t.equal(farmKey(secret, 'shop', 'a', 12).length, 12)
  // Written down, so that members of two releases agree.
  t.equal(
    farmKey(secret, 'shop', 'stream psk').toString('hex'),
    '7877d4ca6632f0d34fa4687c8f33a127ef21b137efc232452da60ec128e0b47d',
  )
})

t.test('addresses', async t => {
  const good: [string, string, number][] = [
    ['10.0.0.1:8443', '10.0.0.1', 8443],
    ['Proxy-1.example:1', 'proxy-1.example', 1],
    ['[::1]:8443', '::1', 8443],
    [' a:65535 ', 'a', 65_535],
  ]
  for (const [text, host, port] of good) t.same(parseAddress(text), { host, port })
  t.same(parseAddress('a', 7), { host: 'a', port: 7 })
  t.same(parseAddress('2001:db8::1', 7), { host: '2001:db8::1', port: 7 })
  t.same(parseAddress('[2001:db8::1]', 7), { host: '2001:db8::1', port: 7 })
  for (const text of [
    '',
    'a',
    'a:',
    ':1',
    'a:0',
    'a:65536',
    'a:b',
    'a b:1',
    '[a]:1',
    'a/b:1',
    '::1',
  ]) {
    t.throws(() => parseAddress(text), { code: 'ERR_HANDFAST_CONFIG' }, text)
  }
  t.equal(formatAddress({ host: '::1', port: 1 }), '[::1]:1')
  t.equal(formatAddress({ host: 'a', port: 1 }), 'a:1')
  t.equal(plainHost('::ffff:10.0.0.1'), '10.0.0.1')
  t.equal(plainHost('::1'), '::1')
})
