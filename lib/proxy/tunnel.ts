import type { Duplex } from 'node:stream'

export interface TunnelEnd {
  /** Bytes from the backend to the client. */
  readonly bytes: number
}

/**
 * Joins two streams after an upgrade until both have ended, one has failed, or neither has
 * said anything for `timeout` milliseconds.
 */
export function tunnel(
  client: Duplex,
  backend: Duplex,
  timeout: number,
  onEnd: (end: TunnelEnd) => void,
): void {
  let bytes = 0
  let open = 2
  const destroyBoth = () => {
    client.destroy()
    backend.destroy()
  }
  const silence = setTimeout(destroyBoth, timeout)
  silence.unref()
  for (const [from, to] of [
    [client, backend],
    [backend, client],
  ] as const) {
    from.on('error', destroyBoth)
    from.on('close', () => {
      to.end()
      open--
      if (!from.readableEnded) to.destroy()
      if (open > 0) return
      clearTimeout(silence)
      onEnd({ bytes })
    })
    from.on('data', (chunk: Buffer) => {
      if (from === backend) bytes += chunk.length
      silence.refresh()
    })
    from.pipe(to)
  }
  if (client.destroyed || backend.destroyed) destroyBoth()
}
