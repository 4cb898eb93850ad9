import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram, needProgram } from './program.ts'
import { type MemberFiles, startProgramFarm } from './program-farm.ts'
import { startMemcached } from './store.ts'
import type { System } from './system.ts'

const programs = ['apache2', 'httpd']

/** Where distributions put the modules. */
const moduleFolders = [
  '/usr/lib/apache2/modules',
  '/usr/lib64/httpd/modules',
  '/usr/lib/httpd/modules',
  '/usr/libexec/apache2',
  '/usr/local/apache2/modules',
]

export const apache: System = {
  name: 'apache',
  about: 'Apache httpd, mod_socache_memcache, SSLSessionTickets off',
  modes: ['1.2-id', '1.3-stateful'],
  mustResume: false,
  missing() {
    return (
      findProgram(...programs).missing ??
      findProgram('memcached').missing ??
      (moduleFolder() === undefined ? 'mod_socache_memcache is not installed' : undefined)
    )
  },
  async start(options) {
    const store = await startMemcached()
    const modules = moduleFolder() ?? ''
    return await startProgramFarm(options, {
      command: needProgram(...programs),
      configName: 'httpd.conf',
      config: files => config(files, modules, store.port),
      args: (file, folder) => ['-D', 'FOREGROUND', '-d', folder, '-f', file],
      store,
    })
  },
}

function moduleFolder(): string | undefined {
  return moduleFolders.find(folder => existsSync(join(folder, 'mod_socache_memcache.so')))
}

function config(
  { port, index, folder, keyFile, certFile, clientCaFile }: MemberFiles,
  modules: string,
  memcached: number,
): string {
  const load = ['mpm_event', 'authz_core', 'socache_memcache', 'ssl', 'headers', 'alias']
    .map(name => `LoadModule ${name}_module ${join(modules, `mod_${name}.so`)}`)
    .join('\n')
  const verify =
    clientCaFile === undefined
      ? ''
      : `SSLVerifyClient require\nSSLCACertificateFile ${clientCaFile}\n`
  const user = process.getuid?.() === 0 ? 'User #65534\nGroup #65534\n' : ''
  // All members have one ServerName: it is what Apache makes the session context from.
  return `ServerRoot ${folder}
${load}
ServerName bench.test:443
PidFile ${join(folder, `${index}-httpd.pid`)}
ErrorLog ${join(folder, `${index}-error.log`)}
LogLevel error
${user}StartServers 1
ServerLimit 1
ThreadsPerChild 25
MaxRequestWorkers 25
MinSpareThreads 1
MaxSpareThreads 25
Listen 127.0.0.1:${port}
SSLSessionCache memcache:127.0.0.1:${memcached}
SSLSessionCacheTimeout 3600
SSLSessionTickets off
SSLEngine on
SSLProtocol -all +TLSv1.2 +TLSv1.3
SSLCertificateFile ${certFile}
SSLCertificateKeyFile ${keyFile}
${verify}Redirect 200 /
ErrorDocument 200 "ok"
Header always set x-resumed yes "expr=%{SSL_SESSION_RESUMED} == 'Resumed'"
Header always set x-resumed no "expr=%{SSL_SESSION_RESUMED} != 'Resumed'"
`
}
