import type { Limits } from '../options.ts'

/** By the word of the access log for what ended a request. */
const limits: ReadonlyMap<string, keyof Limits> = new Map<string, keyof Limits>([
  ['ERR_HTTP_REQUEST_TIMEOUT', 'headersTimeout'],
  ['HPE_HEADER_OVERFLOW', 'maxHeaderBytes'],
  ['Request Header Fields Too Large', 'maxHeaderBytes'],
  ['too-large', 'maxBodyBytes'],
  ['timeout', 'bodyTimeout'],
  ['client-timeout', 'bodyTimeout'],
  ['UND_ERR_CONNECT_TIMEOUT', 'connectTimeout'],
  ['UND_ERR_HEADERS_TIMEOUT', 'backendHeadersTimeout'],
  ['UND_ERR_BODY_TIMEOUT', 'backendBodyTimeout'],
  ['request-timeout', 'requestTimeout'],
  ['try-timeout', 'tryTimeout'],
])

/** The limit that a request came to its end at. */
export function limitMet(error: string | undefined): keyof Limits | undefined {
  return error === undefined ? undefined : limits.get(error)
}
