import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { haproxyArgs, haproxyFile } from './haproxy-file.ts'
import { findProgram, needProgram } from './program.ts'
import { type MemberFiles, startProgramFarm } from './program-farm.ts'
import type { System } from './system.ts'

const ticketKeyFile = 'ticket.keys'

export const haproxy: System = {
  name: 'haproxy',
  about: 'HAProxy, one thread per member, the same tls-ticket-keys',
  modes: ['1.2-ticket', '1.3-stateless'],
  mustResume: false,
  missing: () => findProgram('haproxy').missing,
  start: options =>
    startProgramFarm(options, {
      command: needProgram('haproxy'),
      configName: 'haproxy.cfg',
      config,
      args: haproxyArgs,
      // At least three, of which the last but one encrypts.
      shared: {
        [ticketKeyFile]: Array.from(
          { length: 3 },
          () => `${randomBytes(48).toString('base64')}\n`,
        ).join(''),
      },
    }),
}

function config({ port, folder, bundleFile, clientCaFile }: MemberFiles): string {
  const verify =
    clientCaFile === undefined ? '' : ` verify required ca-file ${clientCaFile}`
  const keys = join(folder, ticketKeyFile)
  const rest = `frontend bench
  bind 127.0.0.1:${port} ssl crt ${bundleFile} tls-ticket-keys ${keys}${verify}
  http-request return status 200 content-type text/plain string "ok" hdr x-resumed "%[ssl_fc_is_resumed,iif(yes,no)]"
`
  return haproxyFile({ rest })
}
