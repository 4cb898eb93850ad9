import { createHmac } from 'node:crypto'

/** Tells a backend from others in cookies, and nobody where it is. 12 characters. */
export function backendName(key: Buffer, origin: string): string {
  return digestOf(key, origin).subarray(0, 9).toString('base64url')
}

/** The same where letters of one case alone may be: in host names. 16 characters. */
export function backendLabel(key: Buffer, origin: string): string {
  return digestOf(key, origin).subarray(0, 8).toString('hex')
}

function digestOf(key: Buffer, origin: string): Buffer {
  return createHmac('sha256', key).update(`backend\0${origin}`).digest()
}
