import { HandfastError } from '../errors.ts'
import { shown } from '../shown.ts'

/** The scheme, host and port of a backend; anything more is a mistake worth telling. */
export function parseOrigin(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined
  const plain = url !== undefined && url.pathname === '/' && url.search === ''
  if (!plain || !/^https?:$/.test(url.protocol) || url.username + url.password !== '') {
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      `a backend must look like http://host:port or https://host:port, got ${shown(address)}`,
    )
  }
  return url
}
