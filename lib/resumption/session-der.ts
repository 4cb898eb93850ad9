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

/** Undefined when the bytes are not such a session. */
export function readSession(der: Buffer): SessionFacts | undefined {
  const outer = element(der, 0)
  if (outer?.tag !== tag.sequence || outer.end !== der.length) return undefined
  const fields = new Map<number, Buffer>()
  const plain: Buffer[] = []
  for (let at = outer.start; at < outer.end; ) {
    const field = element(der, at)
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
    alpn: innerText(fields.get(context.alpn)),
  }
}

interface Element {
  readonly tag: number
  readonly start: number
  readonly end: number
}

/** X.690 8.1: tag, length, contents; single-byte tags and definite lengths only. */
function element(der: Buffer, at: number): Element | undefined {
  const first = der[at + 1]
  if (first === undefined) return undefined
  let start = at + 2
  let length = first
  if (first >= 0x80) {
    const width = first & 0x7f
    if (width < 1 || width > 3 || start + width > der.length) return undefined
    length = der.readUIntBE(start, width)
    start += width
  }
  if (start + length > der.length) return undefined
  return { tag: der.readUInt8(at), start, end: start + length }
}

/** Explicit context tags wrap an element; absent means 0, as OpenSSL leaves out zeros. */
function innerInteger(wrapped: Buffer | undefined): number {
  if (wrapped === undefined) return 0
  const inner = element(wrapped, 0)
  return inner?.tag === tag.integer
    ? integer(wrapped.subarray(inner.start, inner.end))
    : Number.NaN
}

function innerText(wrapped: Buffer | undefined): string {
  if (wrapped === undefined) return ''
  const inner = element(wrapped, 0)
  return inner === undefined ? '' : wrapped.toString('latin1', inner.start, inner.end)
}

function integer(content: Buffer): number {
  return content.length > 0 && content.length <= 6
    ? content.readUIntBE(0, content.length)
    : Number.NaN
}
