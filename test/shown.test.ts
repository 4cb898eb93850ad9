import { randomBytes } from 'node:crypto'
import t from 'tap'
import { shown } from '../lib/shown.ts'

t.test('what is refused is shown', async t => {
  const cases: [unknown, string][] = [
    ['ftp://x', '"ftp://x"'],
    ['10.0.1.2:3000', '"10.0.1.2:3000"'],
    ['http://a.example/path', '"http://a.example/path"'],
    ['*.shop.example', '"*.shop.example"'],
    [
      '/etc/handfast/sites/shop.example/fullchain.pem',
      '"/etc/handfast/sites/shop.example/fullchain.pem"',
    ],
    [70_000, '70000'],
    [true, 'true'],
    [undefined, 'nothing'],
    [null, 'nothing'],
    [[1], 'a list'],
    [{ a: 1 }, 'a mapping'],
  ]
  for (const [value, text] of cases) t.equal(shown(value), text)
})

t.test('a password in an address is not', async t => {
  const passwords = ['hunter2', 'p@ss/w0rd', 'a:b', 'x?y#z', '%40', 'ü']
  for (const password of passwords) {
    for (const place of ['10.0.1.2:3000', 'shop.example/path', '[::1]:3000', '']) {
      for (const start of [
        'http://',
        'https://',
        'ftp://',
        'HTTP://',
        '',
        'http:/',
        '//',
      ]) {
        const text = shown(`${start}admin:${password}@${place}`)
        t.notMatch(text, password, `${start}...@${place}: ${text}`)
        t.notMatch(text, 'admin')
        t.match(text, '(hidden)')
      }
    }
  }
  t.equal(shown('http://u:p@10.0.1.2:3000'), '"http://(hidden)@10.0.1.2:3000"')
  t.notMatch(shown('ftp://auth.example/?token=abc'), 'abc')
})

t.test('nor is a secret behind the wrong flag, whole or in part', async t => {
  const secret = randomBytes(32)
  for (const encoding of ['base64', 'base64url', 'hex'] as const) {
    const text = secret.toString(encoding)
    for (const one of [text, ` ${text}\n`, text.slice(0, -1), `secret:${text}`]) {
      t.equal(shown(one), '(hidden)', encoding)
    }
  }
  t.equal(shown('password: hunter2'), '(hidden)')
  t.equal(shown('{ secret=abc }'), '(hidden)')
  t.equal(shown('-----BEGIN PRIVATE KEY-----\nMII'), '(hidden)')
})
