import { freePorts } from '../harness/child.ts'
import { Foreground } from './foreground.ts'
import { needProgram } from './program.ts'

/** Where members that share nothing among themselves keep their sessions. */
export interface Store {
  readonly port: number
  readonly config: { readonly name: string; readonly text: string }
  cpu(): number | undefined
  close(): Promise<void>
}

/** A Redis or Valkey that writes nothing to disk. */
export function startRedis(folder: string): Promise<Store> {
  return startStore(['redis-server', 'valkey-server'], port => [
    ...['--bind', '127.0.0.1', '--port', String(port)],
    ...['--save', '', '--appendonly', 'no', '--daemonize', 'no', '--dir', folder],
  ])
}

export function startMemcached(): Promise<Store> {
  // Root must say as whom to run.
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  return startStore(['memcached'], port => [
    ...['-l', '127.0.0.1', '-p', String(port), '-U', '0', '-t', '1', ...user],
  ])
}

async function startStore(
  names: readonly string[],
  argsOf: (port: number) => readonly string[],
): Promise<Store> {
  const [port = 0] = await freePorts(1)
  const args = argsOf(port)
  const program = await Foreground.start(needProgram(...names), args, port)
  return {
    port,
    config: { name: `${names[0]} arguments`, text: args.join(' ') },
    cpu: () => program.cpu(),
    close: () => program.close(),
  }
}
