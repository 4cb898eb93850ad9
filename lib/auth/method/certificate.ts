import type { PeerCertificate } from 'node:tls'
import type { Handshake } from '../../resumption/handshake.ts'
import { type Basis, type MakeBasis, noBasis, type Proof } from '../identity.ts'

export interface CertificateOptions {
  /**
   * Which part of the certificate names the user: its common name (default), or the one
   * alternative name of a kind. Or a function that says it.
   */
  readonly subject?:
    | 'cn'
    | 'email'
    | 'uri'
    | 'dns'
    | ((certificate: PeerCertificate) => string | undefined)
    | undefined
}

/** Which part of it was taken for the name. */
export function certificateBasis(
  options: CertificateOptions | undefined,
  makeBasis: MakeBasis,
): Basis {
  const { subject = 'cn' } = options ?? {}
  return typeof subject === 'string' ? makeBasis('certificate', subject) : noBasis
}

/**
 * Who the client certificate says the client is. The handshake record is the authority on
 * whether it was verified: `socket.authorized` turns from false to true when TLS 1.3 resumes a
 * session without a certificate (tls.md, fact 11). Undefined when there is no verified
 * certificate, or it names nobody, or more than one.
 */
export function proveByCertificate(
  socket: object,
  handshake: Handshake,
  options: CertificateOptions,
): Proof | undefined {
  if (!handshake.clientAuthorized) return undefined
  // The session holds the certificate of its full handshake, so this works after resumption.
  const certificate = certificateOf(socket)
  if (certificate === undefined) return undefined
  const subject = subjectOf(certificate, options.subject ?? 'cn')
  const expiresAt = Date.parse(certificate.valid_to)
  if (subject === undefined || Number.isNaN(expiresAt)) return undefined
  const claims = {
    serialNumber: certificate.serialNumber,
    fingerprint256: certificate.fingerprint256,
  }
  return { subject, claims, at: handshake.originalAt, expiresAt }
}

function certificateOf(socket: object): PeerCertificate | undefined {
  const { getPeerCertificate } = socket as {
    getPeerCertificate?: (this: object) => PeerCertificate | null
  }
  const certificate = getPeerCertificate?.call(socket)
  return certificate?.raw === undefined ? undefined : certificate
}

function subjectOf(
  certificate: PeerCertificate,
  choice: NonNullable<CertificateOptions['subject']>,
): string | undefined {
  if (typeof choice === 'function') return choice(certificate)
  if (choice === 'cn') {
    // Node gives a list when there are several: then nobody is named.
    const name: unknown = certificate.subject.CN
    return typeof name === 'string' ? name : undefined
  }
  const kind = { email: 'email', uri: 'URI', dns: 'DNS' }[choice]
  const names = alternativeNames(certificate.subjectaltname ?? '', kind)
  return names.length === 1 ? names[0] : undefined
}

/**
 * Names of one kind. Node quotes a name with special characters as JSON (CVE-2021-44532: a
 * comma inside a name must not begin another one); such a name is nobody's here.
 */
function alternativeNames(text: string, kind: string): string[] {
  const names: string[] = []
  for (const part of text.includes('"') ? [] : text.split(', ')) {
    if (part.startsWith(`${kind}:`)) names.push(part.slice(kind.length + 1))
  }
  return names
}
