import { derElement, derWrapped } from '../resumption/session/der.ts'

/**
 * What a Node client holds of a session: OpenSSL's SSL_SESSION in DER, which since Node 22.23,
 * 24.17 and 26.3 stands in an envelope with the server name that it belongs to:
 *
 *      0      1                            22           24             24 + n
 *      +------+----------------------------+------------+--------------+-----
 *      | 0    | "nodejs:tls:session:1" 0   | u16 length | server name  | DER
 *      +------+----------------------------+------------+--------------+-----
 *
 * Of the DER (ssl/ssl_asn1.c) this reads the plain fields at the front, [2] timeout, [9]
 * lifetime hint and [10] ticket.
 */
export interface ClientSession {
  /** The bytes without the envelope, which offer the session under any name. */
  readonly der: Buffer
  readonly id: Buffer
  /** TLS 1.2 ticket, or the identity that TLS 1.3 offers; undefined when there is none. */
  readonly ticket: Buffer | undefined
  /** Seconds, as the server said; undefined when it did not. */
  readonly lifetimeHint: number | undefined
}

/** Undefined when the bytes are not such a session. */
export function readClientSession(bytes: Buffer): ClientSession | undefined {
  const der = withoutEnvelope(bytes)
  const outer = der && derElement(der, 0)
  if (der === undefined || outer?.tag !== tag.sequence) return undefined
  const strings: Buffer[] = []
  const tagged = new Map<number, Buffer>()
  for (let at = outer.start; at < outer.end; ) {
    const field = derElement(der, at)
    if (field === undefined || field.end > outer.end) return undefined
    const content = der.subarray(field.start, field.end)
    if (field.tag === tag.octetString) strings.push(content)
    else tagged.set(field.tag, content)
    at = field.end
  }
  // Cipher, session id, master key.
  const id = strings[1]
  if (id === undefined) return undefined
  const ticket = derWrapped(tagged.get(tag.ticket))
  const hint = derWrapped(tagged.get(tag.lifetimeHint))
  return {
    der,
    id,
    ticket: ticket === undefined || ticket.length === 0 ? undefined : ticket,
    lifetimeHint:
      hint !== undefined && hint.length > 0 && hint.length <= 6
        ? hint.readUIntBE(0, hint.length)
        : undefined,
  }
}

const envelope = Buffer.from('\0nodejs:tls:session:1\0', 'latin1')
const tag = {
  octetString: 0x04,
  sequence: 0x30,
  lifetimeHint: 0xa9,
  ticket: 0xaa,
} as const

function withoutEnvelope(bytes: Buffer): Buffer | undefined {
  if (!bytes.subarray(0, envelope.length).equals(envelope)) return bytes
  if (bytes.length < envelope.length + 2) return undefined
  const start = envelope.length + 2 + bytes.readUInt16BE(envelope.length)
  return start <= bytes.length ? bytes.subarray(start) : undefined
}
