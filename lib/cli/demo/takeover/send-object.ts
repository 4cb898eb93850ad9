import type { IncomingMessage, ServerResponse } from 'node:http'

export interface SentObject {
  readonly length: number
  readonly etag: string
  /** Some bytes of it, from a byte on: no more than asked for, and at least one. */
  partOf(from: number, length: number): Buffer
}

/** Answers with it, or with the range that is asked for under its entity tag. True: with a range. */
export function sendObject(
  { headers }: IncomingMessage,
  response: ServerResponse,
  { length, etag, partOf }: SentObject,
): boolean {
  const { range = '', 'if-range': unless = etag } = headers
  const wanted = unless === etag ? /^bytes=(\d+)-(\d*)$/.exec(range) : null
  const first = Number(wanted?.[1] ?? 0)
  const last = Number(wanted?.[2] || length - 1)
  response.writeHead(wanted === null ? 200 : 206, {
    ETag: etag,
    'Content-Length': last - first + 1,
    ...(wanted && { 'Content-Range': `bytes ${first}-${last}/${length}` }),
  })
  let at = first
  const pump = () => {
    while (at <= last) {
      const part = partOf(at, last + 1 - at)
      at += part.length
      if (response.write(part)) continue
      response.once('drain', pump)
      return
    }
    response.end()
  }
  pump()
  return wanted !== null
}
