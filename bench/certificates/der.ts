/** The few ASN.1 types a certificate is written in, in DER (ITU-T X.690). */

export function tlv(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content)
  const { length } = body
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), body])
  const digits = length < 0x100 ? [length] : [length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, 0x80 | digits.length, ...digits]), body])
}

export function sequence(...content: readonly Uint8Array[]): Buffer {
  return tlv(0x30, ...content)
}

export function set(...content: readonly Uint8Array[]): Buffer {
  return tlv(0x31, ...content)
}

/** `[number] EXPLICIT`. */
export function explicit(number: number, content: Uint8Array): Buffer {
  return tlv(0xa0 | number, content)
}

/** A number of 0 to 127, or the bytes of a positive one whose top bit is clear. */
export function integer(value: number | Uint8Array): Buffer {
  return tlv(0x02, typeof value === 'number' ? Buffer.from([value]) : value)
}

export function boolean(value: boolean): Buffer {
  return tlv(0x01, Buffer.from([value ? 0xff : 0]))
}

export function nothing(): Buffer {
  return tlv(0x05)
}

export function utf8(text: string): Buffer {
  return tlv(0x0c, Buffer.from(text))
}

export function octets(content: Uint8Array): Buffer {
  return tlv(0x04, content)
}

export function bits(content: Uint8Array, unused = 0): Buffer {
  return tlv(0x03, Buffer.from([unused]), content)
}

/** YYYYMMDDHHMMSSZ up to 2049 as UTCTime, which has two digits for the year. */
export function time(at: Date): Buffer {
  const text = at.toISOString().replace(/[-:T]|\.\d+/g, '')
  return tlv(0x17, Buffer.from(text.slice(2), 'latin1'))
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const part of rest) {
    const digits = [part & 0x7f]
    for (let left = part >> 7; left > 0; left >>= 7) digits.unshift(0x80 | (left & 0x7f))
    bytes.push(...digits)
  }
  return tlv(0x06, Buffer.from(bytes))
}
