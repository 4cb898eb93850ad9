/** A request in clear that came where a ClientHello was due. */
export interface PlainHttp {
  readonly method: string
}

/**
 * The request line at the start of a connection; undefined when it is none, `more` when it may
 * become one. A port scan or a line of SMTP gets no answer in HTTP.
 */
export function readPlainHttp(bytes: Buffer): PlainHttp | 'more' | undefined {
  const text = bytes.toString('latin1', 0, longestLine)
  const end = text.indexOf('\n')
  if (end >= 0) {
    const method = requestLine.exec(text.slice(0, end))?.[1]
    return method === undefined ? undefined : { method }
  }
  if (text.length === longestLine) return undefined
  return beginning.test(text) ? 'more' : undefined
}

/** What an HTTPS server says to it, as nginx and Go do. */
export function plainHttpAnswer({ method }: PlainHttp): string {
  const body = method === 'HEAD' ? '' : sentence
  return (
    'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n' +
    `Content-Length: ${sentence.length}\r\nConnection: close\r\n\r\n${body}`
  )
}

const sentence = 'This is an HTTPS port, and the request was in plain HTTP.\n'
const requestLine = /^([A-Z][A-Z-]{0,31}) \S+ HTTP\/\d(?:\.\d)?\r?$/
const beginning = /^[A-Z][A-Z-]{0,31}(?: [^\r\n]*\r?)?$/
const longestLine = 16_384
