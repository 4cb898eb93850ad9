import { derElement, derWrapped } from './der.ts'

/**
 * OpenSSL's SSL_SESSION as Node's `newSession` hands it out (ssl/ssl_asn1.c): a DER SEQUENCE
 *
 *      version INTEGER | ssl_version INTEGER | cipher OCTET STRING | session id OCTET STRING
 *      | master key OCTET STRING | [1] time | [2] timeout | [3] peer certificate
 *      | [4] session id context | [5] verify result | ... | [13] flags | ... | [16] ALPN | ...
 *
 * Read here is only what decides whether the session may resume.
 */
export interface SessionFacts {
  /** 0x0303 for TLS 1.2, 0x0304 for TLS 1.3. */
  readonly protocol: number
  /** Cipher suite, as in the hello. */
  readonly cipher: number
  readonly id: Buffer
  /** DER of the client's certificate, when it showed one. */
  readonly peerCertificate: Buffer | undefined
  /** X509_V_OK, and there was a certificate to verify. */
  readonly peerVerified: boolean
  readonly extendedMasterSecret: boolean
  readonly alpn: string
}

const tag = { integer: 0x02, octetString: 0x04, sequence: 0x30 } as const
const context = { peer: 0xa3, verifyResult: 0xa5, flags: 0xad, alpn: 0xb0 } as const
/** SSL_SESS_FLAG_EXTMS in OpenSSL's ssl.h. */
const extendedMasterSecretFlag = 0x1
const nothing = Buffer.alloc(0)
/** Versions and cipher. */
const beforeId = [tag.integer, tag.integer, tag.octetString] as const

/** Undefined when the bytes are not such a session. */
export function readSession(der: Buffer): SessionFacts | undefined {
  const outer = derElement(der, 0)
  if (outer?.tag !== tag.sequence || outer.end !== der.length) return undefined
  const fields = new Map<number, Buffer>()
  const plain: Buffer[] = []
  for (let at = outer.start; at < outer.end; ) {
    const field = derElement(der, at)
    if (field === undefined || field.end > outer.end) return undefined
    const content = der.subarray(field.start, field.end)
    if (field.tag === tag.integer || field.tag === tag.octetString) plain.push(content)
    else fields.set(field.tag, content)
    at = field.end
  }
  const [, version, cipher, id] = plain
  if (version === undefined || cipher?.length !== 2 || id === undefined) return undefined
  const peerCertificate = fields.get(context.peer)
  return {
    protocol: integer(version),
    cipher: cipher.readUInt16BE(0),
    id,
    peerCertificate,
    peerVerified:
      peerCertificate !== undefined &&
      innerInteger(fields.get(context.verifyResult)) === 0,
    extendedMasterSecret:
      (innerInteger(fields.get(context.flags)) & extendedMasterSecretFlag) !== 0,
    alpn: derWrapped(fields.get(context.alpn))?.toString('latin1') ?? '',
  }
}

/**
 * The bytes are such a session, with this id. Looks no further than it has to: this is done for
 * each session that a client offers, and TLS reads the rest.
 */
export function isSessionOf(der: Buffer, id: Buffer): boolean {
  const outer = derElement(der, 0)
  if (outer?.tag !== tag.sequence || outer.end !== der.length) return false
  let at = outer.start
  for (const before of beforeId) {
    const field = derElement(der, at)
    if (field?.tag !== before) return false
    at = field.end
  }
  const own = derElement(der, at)
  if (own?.tag !== tag.octetString || own.end - own.start !== id.length) return false
  return der.compare(id, 0, id.length, own.start, own.end) === 0
}

/** Absent means 0, as OpenSSL leaves out zeros. */
function innerInteger(wrapped: Buffer | undefined): number {
  if (wrapped === undefined) return 0
  return integer(derWrapped(wrapped, tag.integer) ?? nothing)
}

function integer(content: Buffer): number {
  return content.length > 0 && content.length <= 6
    ? content.readUIntBE(0, content.length)
    : Number.NaN
}
