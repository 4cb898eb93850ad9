import { findProgram, needProgram } from './program.ts'
import { type MemberFiles, startProgramFarm } from './program-farm.ts'
import { startMemcached } from './store.ts'
import type { System } from './system.ts'

export const h2o: System = {
  name: 'h2o',
  about: 'h2o, one thread per member, sessions in memcached',
  modes: ['1.2-id'],
  mustResume: false,
  missing: () => findProgram('h2o').missing ?? findProgram('memcached').missing,
  async start(options) {
    const store = await startMemcached()
    return await startProgramFarm(options, {
      command: needProgram('h2o'),
      configName: 'h2o.yaml',
      config: files => config(files, store.port),
      args: file => ['-m', 'worker', '-c', file],
      store,
    })
  },
}

/** h2o has no way to say in a response whether its connection was resumed. */
function config(
  { port, keyFile, certFile, clientCaFile }: MemberFiles,
  memcached: number,
): string {
  if (clientCaFile !== undefined)
    throw new Error('h2o 2.2 asks for no client certificate')
  const user = process.getuid?.() === 0 ? 'user: root\n' : ''
  return `${user}num-threads: 1
listen:
  host: 127.0.0.1
  port: ${port}
  ssl:
    certificate-file: ${certFile}
    key-file: ${keyFile}
    minimum-version: TLSv1.2
    maximum-version: TLSv1.2
ssl-session-resumption:
  mode: cache
  cache-store: memcached
  cache-memcached-num-threads: 1
  memcached:
    host: 127.0.0.1
    port: ${memcached}
hosts:
  bench.test:
    paths:
      /:
        mruby.handler: |
          Proc.new { |env| [200, { "content-length" => "3" }, ["ok\\n"]] }
`
}
