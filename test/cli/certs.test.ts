import { X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import t from 'tap'
import {
  ensureCertificate,
  localhostCertificate,
  makeCertificate,
  writeCertificate,
} from '../../lib/cli/certs.ts'

function filesIn(folder: string) {
  return { keyFile: join(folder, 'certs/a.key'), certFile: join(folder, 'certs/a.crt') }
}

t.test('a certificate names hosts and addresses and fits its key', async t => {
  for (const [keyType, type] of [
    ['p256', 'ec'],
    ['rsa', 'rsa'],
  ] as const) {
    const { key, cert } = await makeCertificate({ ...localhostCertificate, keyType })
    const read = new X509Certificate(cert)
    t.equal(read.publicKey.asymmetricKeyType, type)
    t.match(read.subjectAltName, 'DNS:localhost, IP Address:127.0.0.1')
    t.equal(read.checkIP('::1'), '::1')
    t.equal(read.checkHost('localhost'), 'localhost')
    t.ok(Date.parse(read.validFrom) < Date.now())
    t.doesNotThrow(() => createSecureContext({ key, cert }))
  }
})

t.test('what is missing is made, readable by its owner only, and kept', async t => {
  const files = filesIn(t.testdir({}))
  const first = await ensureCertificate(files, localhostCertificate)
  t.equal(first.made, true)
  for (const file of [files.keyFile, files.certFile]) {
    t.equal(statSync(file).mode & 0o777, 0o600)
  }
  const second = await ensureCertificate(files, localhostCertificate)
  t.match(second, { key: first.key, cert: first.cert, made: false })
  t.equal(readFileSync(files.keyFile, 'utf8'), first.key)
})

t.test('processes that start at once end up with one pair that fits', async t => {
  const folder = t.testdir({})
  const files = filesIn(folder)
  const pairs = await Promise.all(
    Array.from({ length: 8 }, () => ensureCertificate(files, localhostCertificate)),
  )
  const key = readFileSync(files.keyFile, 'utf8')
  const cert = readFileSync(files.certFile, 'utf8')
  t.doesNotThrow(() => createSecureContext({ key, cert }))
  for (const pair of pairs) t.match(pair, { key, cert })
  t.strictSame(readdirSync(join(folder, 'certs')).sort(), ['a.crt', 'a.key'])
})

t.test(
  'a maker that died half-way is made good: the certificate follows the key',
  async t => {
    const folder = t.testdir({ certs: {} })
    const files = filesIn(folder)
    const { key } = await makeCertificate(localhostCertificate)
    writeFileSync(files.keyFile, key, { mode: 0o600 })
    const pair = await ensureCertificate(files, localhostCertificate)
    t.equal(pair.key, key)
    t.doesNotThrow(() => createSecureContext(pair))
  },
)

t.test('one of ours that ran out is made anew with the same key', async t => {
  const files = filesIn(t.testdir({}))
  const old = await makeCertificate({ ...localhostCertificate, days: 0 })
  await writeCertificate(files, old)
  const pair = await ensureCertificate(files, localhostCertificate)
  t.equal(pair.key, old.key)
  t.not(pair.cert, old.cert)
  t.equal(readFileSync(files.certFile, 'utf8'), pair.cert)
})

t.test('a folder that cannot be written is an error, not a silent start', async t => {
  const folder = t.testdir({ certs: 'a file' })
  await t.rejects(ensureCertificate(filesIn(folder), localhostCertificate))
})
