import type { Duplex } from 'node:stream'
import type { Limits } from '../options.ts'

export interface TunnelEnd {
  /** Bytes from the backend to the client. */
  readonly bytes: number
}

/**
 * Joins two streams after an upgrade until both have ended, one has failed, or neither has
 * said anything for `tunnelTimeout`. When one has ended, the other has `bodyTimeout` to take
 * what is left for it.
 */
export function tunnel(
  client: Duplex,
  backend: Duplex,
  { tunnelTimeout, bodyTimeout }: Pick<Limits, 'tunnelTimeout' | 'bodyTimeout'>,
  onEnd: (end: TunnelEnd) => void,
): void {
  let bytes = 0
  let open = 2
  const destroyBoth = () => {
    client.destroy()
    backend.destroy()
  }
  let silence = setTimeout(destroyBoth, tunnelTimeout).unref()
  for (const [from, to] of [
    [client, backend],
    [backend, client],
  ] as const) {
    from.on('error', destroyBoth)
    from.on('close', () => {
      to.end()
      open--
      if (!from.readableEnded) to.destroy()
      clearTimeout(silence)
      if (open === 0) onEnd({ bytes })
      else silence = setTimeout(destroyBoth, bodyTimeout).unref()
    })
    from.on('data', (chunk: Buffer) => {
      if (from === backend) bytes += chunk.length
      silence.refresh()
    })
    from.pipe(to)
  }
  if (client.destroyed || backend.destroyed) destroyBoth()
}
