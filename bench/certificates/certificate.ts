import {
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'
import {
  bits,
  boolean,
  explicit,
  integer,
  nothing,
  octets,
  oid,
  sequence,
  set,
  time,
  tlv,
  utf8,
} from './der.ts'

export type KeyType = 'p256' | 'rsa2048'

/** A key, its certificate and, by the certificate's issuer, the way up to a root. */
export interface Identity {
  readonly name: string
  readonly key: KeyObject
  readonly type: KeyType
  readonly certificate: string
}

export interface CertificateRequest {
  readonly name: string
  readonly type: KeyType
  readonly use: 'authority' | 'server' | 'client'
  /** Undefined signs itself. */
  readonly issuer?: Identity | undefined
}

/**
 * A certificate (RFC 5280) good for a benchmark of an hour: the ones the proxy makes sign
 * themselves, and here chains and client certificates are needed.
 */
export function issue(request: CertificateRequest): Identity {
  const { name, type, use } = request
  const { privateKey, publicKey } = makeKey(type)
  const issuer = request.issuer ?? { name, key: privateKey, type }
  const now = Date.now()
  const body = sequence(
    explicit(0, integer(2)),
    integer(Buffer.concat([Buffer.from([0x40]), randomBytes(15)])),
    signatureAlgorithm(issuer.type),
    commonName(issuer.name),
    sequence(time(new Date(now - 60_000)), time(new Date(now + 86_400_000))),
    commonName(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(...extensions(name, use))),
  )
  const certificate = sequence(
    body,
    signatureAlgorithm(issuer.type),
    bits(sign('sha256', body, issuer.key)),
  )
  const text = new X509Certificate(certificate).toString()
  return { name, key: privateKey, type, certificate: text }
}

export function keyText({ key }: Identity): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string
}

function makeKey(type: KeyType): { privateKey: KeyObject; publicKey: KeyObject } {
  return type === 'rsa2048'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

function signatureAlgorithm(type: KeyType): Buffer {
  return type === 'rsa2048'
    ? sequence(oid('1.2.840.113549.1.1.11'), nothing())
    : sequence(oid('1.2.840.10045.4.3.2'))
}

function commonName(name: string): Buffer {
  return sequence(set(sequence(oid('2.5.4.3'), utf8(name))))
}

function extensions(name: string, use: CertificateRequest['use']): Buffer[] {
  const authority = use === 'authority'
  const basicConstraints = authority ? sequence(boolean(true)) : sequence()
  // keyCertSign is bit 5 and digitalSignature bit 0 of the key usage.
  const usage = authority ? bits(Buffer.from([0x04]), 2) : bits(Buffer.from([0x80]), 7)
  const result = [
    extension('2.5.29.19', basicConstraints, true),
    extension('2.5.29.15', usage, true),
  ]
  if (use === 'server') {
    result.push(extension('2.5.29.17', sequence(tlv(0x82, Buffer.from(name)))))
  }
  return result
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return critical
    ? sequence(oid(id), boolean(true), octets(value))
    : sequence(oid(id), octets(value))
}
