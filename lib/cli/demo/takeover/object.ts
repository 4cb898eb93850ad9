import { createCipheriv, createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sendObject } from './send-object.ts'

/** Bytes without a pattern, whose length divides nothing that matters, again and again. */
const period = 1_000_003
const block = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(
  Buffer.alloc(period),
)
const longestPart = 65_536

/** What is downloaded: so many bytes, none of which is kept. */
export function partOf(from: number, length: number): Buffer {
  const at = from % period
  return block.subarray(at, Math.min(period, at + Math.min(length, longestPart)))
}

export function sha256Of(bytes: number): string {
  const hash = createHash('sha256')
  for (let at = 0; at < bytes; ) {
    const part = partOf(at, bytes - at)
    hash.update(part)
    at += part.length
  }
  return hash.digest('hex')
}

export interface ObjectBackend {
  readonly port: number
  /** Requests for a part of it so far: a download that goes on asks for its rest. */
  readonly parts: number
  close(): Promise<void>
}

/** Serves it in ranges under an entity tag, as a server of files does. */
export async function startObjectBackend(
  host: string,
  bytes: number,
): Promise<ObjectBackend> {
  let parts = 0
  const server = createServer((request, response) => {
    response.setHeader('Content-Type', 'application/octet-stream')
    if (sendObject(request, response, { length: bytes, etag: '"1"', partOf })) parts += 1
  })
  server.listen(0, host)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    get parts() {
      return parts
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
