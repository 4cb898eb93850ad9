import { createHmac } from 'node:crypto'

/** Tells a backend from others in cookies and URLs, and nobody where it is. 12 characters. */
export function backendName(key: Buffer, origin: string): string {
  return createHmac('sha256', key)
    .update(`backend\0${origin}`)
    .digest()
    .subarray(0, 9)
    .toString('base64url')
}
