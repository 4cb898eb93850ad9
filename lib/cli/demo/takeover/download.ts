import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'

export interface DownloadOptions {
  readonly host: string
  readonly port: number
  /** PEM of the certificate to trust. */
  readonly ca: string
  /** Bytes per second that are taken, so that there is something to be watched. */
  readonly rate: number
  /** The rest is not read before it has resolved. */
  onProgress(bytes: number): Promise<void> | void
}

/** Longest silence, ms; then it has failed. */
const patience = 30_000

/**
 * One request over one connection, which is never tried again: any error on its way is the end.
 * Answers the SHA-256 of what came.
 */
export async function download(options: DownloadOptions): Promise<string> {
  const { host, port, ca, rate, onProgress } = options
  const outgoing = request({
    host,
    port,
    ca,
    servername: 'localhost',
    headers: { Host: 'localhost' },
    agent: false,
    timeout: patience,
  })
  outgoing.on('timeout', () => outgoing.destroy(new Error('no byte for 30 s')))
  outgoing.end()
  const [response] = await once(outgoing, 'response')
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`)
  const hash = createHash('sha256')
  const began = performance.now()
  let came = 0
  for await (const chunk of response) {
    hash.update(chunk)
    came += chunk.length
    await onProgress(came)
    const early = (1_000 * came) / rate - (performance.now() - began)
    if (early > 0) await sleep(early)
  }
  return hash.digest('hex')
}
