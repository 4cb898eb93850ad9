import { createHash } from 'node:crypto'
import { type Command, type Connection, RefusedByRedis, type Reply } from './client.ts'

/** A script that runs as one step in Redis; all its keys must be in one slot. */
export interface Script {
  readonly text: string
  /** By which Redis knows it once it has seen it. */
  readonly sha: string
}

export function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

/** Runs it; sends its text where Redis does not know it yet. `asking`: see ASK of the cluster. */
export async function run(
  connection: Connection,
  { text, sha }: Script,
  keys: readonly string[],
  values: Command,
  asking: boolean,
): Promise<Reply> {
  const rest = [String(keys.length), ...keys, ...values]
  try {
    return await send(connection, ['EVALSHA', sha, ...rest], asking)
  } catch (error) {
    if (!(error instanceof RefusedByRedis && error.code === 'NOSCRIPT')) throw error
    return await send(connection, ['EVAL', text, ...rest], asking)
  }
}

/** Two calls made one after the other are two that Redis gets one after the other. */
export function send(
  connection: Connection,
  command: Command,
  asking: boolean,
): Promise<Reply> {
  if (asking) connection.call(['ASKING']).catch(() => {})
  return connection.call(command)
}
