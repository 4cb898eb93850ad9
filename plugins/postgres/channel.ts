import { createHash } from 'node:crypto'

/** Names of channels have at most 63 bytes, those of schemas may have more signs than that. */
export function channelOf(schema: string): string {
  return `handfast_${createHash('sha256').update(schema).digest('hex').slice(0, 32)}`
}
