import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { durationText } from '../../options/duration.ts'
import type { Blame } from './read-pem.ts'

type Key = Parameters<Blame>[0]

/** A certificate and its key, as PEM. */
export interface Pair {
  readonly cert: string
  readonly key: string
  /** The options that name their files. */
  readonly options: readonly [cert: Key, key: Key]
  /** Names that clients will ask for. */
  readonly names: readonly string[]
  /** Path of the certificate, for warnings. */
  readonly path: string
  /** Milliseconds since 1970. */
  readonly now: number
}

/**
 * Throws what `blame` makes of a certificate and a key that can't be served; answers sentences
 * about what can, but is hardly meant.
 */
export function checkPair(pair: Pair, blame: Blame): string[] {
  const {
    cert,
    key,
    options: [ofCert, ofKey],
    path,
    names,
  } = pair
  checkKinds(pair, blame)
  const chain = chainOf(cert, expected => blame(ofCert, expected))
  const own = keyOf(key, expected => blame(ofKey, expected))
  const leaf = chain[0] as X509Certificate
  if (!leaf.checkPrivateKey(own)) {
    const place = chain.findIndex(one => one.checkPrivateKey(own))
    if (place > 0) {
      const where = `the certificate of this key is number ${place + 1} in the file`
      throw blame(ofCert, `a file with the leaf first (${where})`)
    }
    throw blame(ofKey, 'a file with the private key that belongs to the certificate')
  }
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    const { code = 'refused by TLS' } = error as NodeJS.ErrnoException
    throw blame(ofCert, `a certificate and a key that TLS takes (${code})`)
  }
  return [
    ...orderOf(chain, path),
    ...signerOf(chain, path),
    ...datesOf(leaf, pair),
    ...names.filter(name => !covers(leaf, name)).map(name => notFor(name, path)),
  ]
}

/** The one in place of the other is the usual mistake with two files. */
function checkKinds({ cert, key, options: [ofCert, ofKey] }: Pair, blame: Blame): void {
  const hasCertificate = (pem: string) => pem.includes('BEGIN CERTIFICATE-----')
  const hasKey = (pem: string) => pem.includes('PRIVATE KEY-----')
  if (!hasCertificate(cert) && hasKey(cert)) {
    const swapped = hasCertificate(key) && !hasKey(key)
    throw blame(
      ofCert,
      swapped
        ? `a certificate, and this is a key: ${ofCert} and ${ofKey} are swapped`
        : 'a certificate, and this is a private key',
    )
  }
  if (!hasKey(key) && hasCertificate(key)) {
    throw blame(ofKey, 'a private key, and this is a certificate')
  }
}

type Fault = (expected: string) => Error

function chainOf(cert: string, fault: Fault): X509Certificate[] {
  try {
    createSecureContext({ cert })
    return (cert.match(/-----BEGIN CERT.*?-----END [A-Z ]+-----/gs) ?? ['']).map(
      pem => new X509Certificate(pem),
    )
  } catch {
    throw fault('a file with a certificate in PEM form, leaf first')
  }
}

function keyOf(key: string, fault: Fault): KeyObject {
  if (/ENCRYPTED/.test(key)) {
    throw fault(
      'a private key that is not encrypted (openssl pkey -in KEY -out NEW takes the passphrase off)',
    )
  }
  try {
    return createPrivateKey(key)
  } catch {
    throw fault('a file with the private key that belongs to the certificate')
  }
}

/** Clients that do not sort a chain themselves fail on one that is not in order. */
function orderOf(chain: readonly X509Certificate[], path: string): string[] {
  const wrong = chain.findIndex((one, at) => {
    const next = chain[at + 1]
    return next !== undefined && !one.checkIssued(next)
  })
  if (wrong < 0) return []
  return [
    `${path}: certificate ${wrong + 2} in it has not signed the one before it: some clients ` +
      'will not find the chain (leaf first, then who signed it, and so on)',
  ]
}

/**
 * Who fetches the certificate of its authority from elsewhere (RFC 5280, 4.2.2.1) is meant to be
 * sent with that one: no authority signs the certificates of the public with its root.
 */
function signerOf(chain: readonly X509Certificate[], path: string): string[] {
  const [leaf, ...others] = chain
  if (leaf?.infoAccess?.includes('CA Issuers') !== true || others.length > 0) return []
  if (leaf.checkIssued(leaf)) return []
  return [
    `${path} is the leaf alone, without that of who signed it ` +
      `(${leaf.issuer.replaceAll('\n', ', ')}): clients that do not have that one will refuse ` +
      'it; give the file with the whole chain, such as fullchain.pem',
  ]
}

/** Nobody renews by hand on the last day. */
const soon = 7 * 86_400_000

function datesOf({ validFrom, validTo }: X509Certificate, { path, now }: Pair): string[] {
  const end = Date.parse(validTo)
  if (end <= now) return [`${path} ran out on ${validTo}`]
  if (Date.parse(validFrom) > now) return [`${path} is not valid before ${validFrom}`]
  return end - now < soon ? [`${path} runs out in ${durationText(end - now)}`] : []
}

function covers(leaf: X509Certificate, name: string): boolean {
  if (!name.startsWith('*.')) return leaf.checkHost(name) !== undefined
  const names = (leaf.subjectAltName ?? '').toLowerCase().split(', ')
  return names.includes(`dns:${name}`)
}

function notFor(name: string, path: string): string {
  return `${path} is not for ${name}: clients will refuse it under this name`
}
