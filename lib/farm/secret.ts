import { hkdfSync, randomBytes } from 'node:crypto'
import { HandfastError } from '../errors.ts'

export const secretLength = 32

/** A new farm secret as people put it into an environment variable: 43 characters, base64url. */
export function generateSecret(): string {
  return randomBytes(secretLength).toString('base64url')
}

/**
 * Reads a farm secret: exactly 32 bytes, or their base64url, base64 or hex. The error says
 * what was expected and how long the text was, never what it said.
 */
export function parseSecret(secret: string | Buffer): Buffer {
  const bytes = readSecret(secret)
  // Nobody draws this: it is a buffer that was never filled, and the first that one would try.
  if (bytes.every(byte => byte === 0)) throw wrong('zeros')
  return bytes
}

function readSecret(secret: string | Buffer): Buffer {
  if (Buffer.isBuffer(secret)) {
    if (secret.length === secretLength) return Buffer.from(secret)
    throw wrong(`${secret.length} bytes`)
  }
  const text = secret.trim()
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  // 43 characters hold 258 bits. Node ignores the two that are left over; we do not, so that
  // one secret has one spelling and a typing error in the last letter is seen.
  const url = text.replace(/=$/, '').replaceAll('+', '-').replaceAll('/', '_')
  if (/^[\w-]{43}$/.test(url)) {
    const bytes = Buffer.from(url, 'base64url')
    if (bytes.toString('base64url') === url) return bytes
  }
  throw wrong(`${text.length} characters that are none of these`)
}

/**
 * A key for one purpose, drawn from the farm secret with HKDF-SHA256 (RFC 5869). The farm's
 * name goes in too: two farms that share a secret by mistake still can't talk.
 */
export function farmKey(
  secret: Buffer,
  farmName: string,
  purpose: string,
  length: number = secretLength,
): Buffer {
  // Lengths keep the two names apart: ("a", "bc") must not give the key of ("ab", "c").
  const name = Buffer.from(farmName)
  const info = Buffer.concat([
    Buffer.from(`handfast 1 ${purpose}\0`),
    Buffer.from([name.length >> 8, name.length & 0xff]),
    name,
  ])
  return Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), info, length))
}

function wrong(got: string): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `the farm secret must be ${secretLength} bytes as base64url, base64 or hex, got ${got}`,
  )
}
